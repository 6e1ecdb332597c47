//! `/etc/hosts` as this node keeps it: `NAME.mesh` for itself and every verified peer, while it is in the mesh.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;

use log::warn;

use super::files;
use super::paths::Paths;
use crate::cluster::{Local, Member, Roster, Status};
use crate::mesh::hosts;

/// What was complained about last, so that it is said once.
#[derive(Debug, Default)]
pub struct Names {
    complaint: String,
}

impl Names {
    /// Writes the names of this node and of the roster's peers, if they are not what is there. A gossip that shows nobody else has just
    /// begun: the names that are there stay then. A node that leaves has none any more.
    pub fn keep(&mut self, paths: &Paths, local: &Local, roster: &Roster, members: &[Member]) {
        let own = members.iter().find(|member| member.name == local.record.name);
        if own.is_some_and(|own| matches!(own.status, Status::Leaving | Status::Left)) {
            return self.say(clear(paths));
        }
        let own = hosts::lines([(local.record.name.as_str(), local.record.address)]);
        let alone = members.len() < 2;
        let lines = hosts::lines(claims(local, roster));
        self.say(change(paths, &lines, |file| alone && !own.is_empty() && hosts::has(file, &own)));
    }

    /// Takes the names away.
    pub fn clear(&mut self, paths: &Paths) {
        self.say(clear(paths));
    }

    fn say(&mut self, done: io::Result<()>) {
        let complaint = done.err().map(|error| error.to_string()).unwrap_or_default();
        if complaint != self.complaint && !complaint.is_empty() {
            warn!(
                "unable to keep the names of the mesh in /etc/hosts: {complaint}; NAME.mesh is not found, all else is as it should be"
            );
        }
        self.complaint = complaint;
    }
}

/// Takes the names of the mesh out of `/etc/hosts`; no file, and no names in it, is as well.
pub fn clear(paths: &Paths) -> io::Result<()> {
    change(paths, "", |_| false)
}

/// Who may have a name, who comes first having the right to it: this node, then who writes it in small letters, as it is written here,
/// then the smaller node id.
fn claims<'a>(local: &'a Local, roster: &'a Roster) -> impl Iterator<Item = (&'a str, Ipv4Addr)> {
    let mut peers: Vec<_> = roster.verified().map(|peer| peer.record()).collect();
    peers.sort_by_key(|record| (record.name.chars().any(|letter| letter.is_ascii_uppercase()), &record.node_id));
    let own = &local.record;
    std::iter::once(own).chain(peers).map(|record| (record.name.as_str(), record.address))
}

fn change(paths: &Paths, lines: &str, enough: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let path = paths.hosts();
    let file = files::bytes(&path)?;
    let old = file.as_deref().unwrap_or_default();
    if enough(old) {
        return Ok(());
    }
    let Some(new) = hosts::with(old, lines) else { return Ok(()) };
    match files::exchange(&path, file.as_deref(), &new) {
        // What a container starts from may have no /etc at all.
        Err(error) if error.kind() == ErrorKind::NotFound && file.is_none() => {
            files::folder(&path, false)?;
            files::exchange(&path, None, &new)
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, claims, clear};
    use crate::agent::paths::Paths;
    use crate::cluster::member::tests::{identity, local, member as signed, record};
    use crate::cluster::{Member, Roster, Status};
    use std::fs;
    use std::net::Ipv4Addr;
    use std::path::PathBuf;

    fn address(seed: u8) -> Ipv4Addr {
        record(&identity(seed), "").address
    }

    fn member(seed: u8, name: &str) -> Member {
        signed(&record(&identity(seed), name), &identity(seed))
    }

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, hosts: &[u8]) -> Root {
            let root = std::env::temp_dir().join(format!("clusteros-init-hosts-{}-{name}", std::process::id()));
            drop(fs::remove_dir_all(&root));
            fs::create_dir_all(root.join("etc")).unwrap();
            fs::write(root.join("etc/hosts"), hosts).unwrap();
            Root(root)
        }

        fn paths(&self) -> Paths {
            Paths::new(self.0.clone())
        }

        fn text(&self) -> String {
            fs::read_to_string(self.0.join("etc/hosts")).unwrap()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn names_come_with_the_members_and_go_when_this_node_leaves() {
        let root = Root::new("members", b"127.0.0.1 localhost\n");
        let (mut names, mut roster, local) = (Names::default(), Roster::new(local()), local());
        let mut members = vec![member(1, "node1"), member(2, "node2"), member(3, "not a host")];
        roster.update(&members, 0);
        names.keep(&root.paths(), &local, &roster, &members);
        let line = |seed, name: &str| format!("{}\t{name}.mesh\n", address(seed));
        let all = format!(
            "127.0.0.1 localhost\n# begin of the mesh: node-agent keeps these lines\n{}{}# end of the mesh\n",
            line(1, "node1"),
            line(2, "node2")
        );
        assert_eq!(root.text(), all);

        // A gossip that has just begun takes no name away, and a failed node keeps its own.
        names.keep(&root.paths(), &local, &Roster::new(local.clone()), &members[..1]);
        assert_eq!(root.text(), all);
        members[1].status = Status::Failed;
        roster.update(&members, 0);
        names.keep(&root.paths(), &local, &roster, &members);
        assert_eq!(root.text(), all);

        members[1].status = Status::Left;
        roster.update(&members, 0);
        names.keep(&root.paths(), &local, &roster, &members);
        assert_eq!(root.text(), all.replace(&line(2, "node2"), ""));
        members[0].status = Status::Leaving;
        names.keep(&root.paths(), &local, &roster, &members);
        assert_eq!(root.text(), "127.0.0.1 localhost\n");
        assert_eq!(names.complaint, "");
    }

    #[test]
    fn this_node_has_its_name_before_all_others_and_small_letters_before_large_ones() {
        let mut roster = Roster::new(local());
        let members = [member(2, "NODE1"), member(3, "NODE4"), member(4, "node4"), member(5, "Node4")];
        roster.update(&members, 0);
        let local = local();
        let first: Vec<_> = claims(&local, &roster).map(|(name, _)| name).take(2).collect();
        assert_eq!(first, ["node1", "node4"]);
        let text = crate::mesh::hosts::lines(claims(&local, &roster));
        assert!(text.contains(&format!("{}\tnode1.mesh\n", local.record.address)), "{text}");
        assert!(text.contains(&format!("{}\tnode4.mesh\n", address(4))), "{text}");
    }

    #[test]
    fn a_link_is_not_followed_and_that_is_no_failure() {
        let root = Root::new("link", b"");
        let path = root.0.join("etc/hosts");
        fs::write(root.0.join("etc/others"), "10.0.0.1 others\n").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(root.0.join("etc/others"), &path).unwrap();
        let (mut names, local) = (Names::default(), local());
        names.keep(&root.paths(), &local, &Roster::new(local.clone()), &[]);
        assert_ne!(names.complaint, "");
        assert_eq!(root.text(), "10.0.0.1 others\n");
    }

    #[test]
    fn no_file_is_made_anew_and_none_is_made_to_take_names_away() {
        let root = Root::new("none", b"");
        fs::remove_dir_all(root.0.join("etc")).unwrap();
        clear(&root.paths()).unwrap();
        assert!(!root.0.join("etc").exists());
        let (mut names, local) = (Names::default(), local());
        names.keep(&root.paths(), &local, &Roster::new(local.clone()), &[]);
        let text = root.text();
        assert!(text.starts_with("127.0.0.1\tlocalhost\n") && text.contains("\tnode1.mesh\n"), "{text}");
    }
}
