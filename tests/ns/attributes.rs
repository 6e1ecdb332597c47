//! What shapes a unit's process, seen from within that process; and every way to fail on the way to it, by name.

use std::os::unix::fs::PermissionsExt;

use crate::kit::{self, Plan};
use crate::{need, speaker};

/// Everything about itself that a process can say.
const ASK: &str = "exec 2>&1; id; grep -E 'Cap|NoNewPrivs|Groups' /proc/self/status; echo nofile $(ulimit -Sn) $(ulimit -Hn); \
                   echo core $(ulimit -Sc); echo umask $(umask); echo cwd $(pwd); echo nice $(nice); \
                   echo oom $(cat /proc/self/oom_score_adj); env | sed 's/^/env /'; echo over";

/// `/etc/passwd` and `/etc/group` of the node's own, and a program that asks.
fn prepared() -> String {
    "sh -c 'mkdir @/etc && cp -a /etc/. @/etc/; \
     printf \"root:x:0:0::/root:/bin/sh\\nwww:x:3333:4444:Web:/srv/www:/bin/sh\\n\" > @/etc/passwd; \
     printf \"root:x:0:\\nwww:x:4444:\\nvideo:x:4445:\\n\" > @/etc/group; chmod 755 @/. @/..; \
     mount --bind @/etc /etc && exec \"$@\"' sh {}"
        .to_owned()
}

fn asks(keys: &str) -> String {
    format!("[unit.web]\nexec = [\"sh\", \"-c\", {ASK:?}]\ntype = \"oneshot\"\n{keys}\n")
}

/// What a unit with these keys says of itself.
fn told(name: &str, keys: &str) -> String {
    let node = Plan::new(name).table(&asks(keys)).started_as(&prepared()).start();
    node.wait_for("log/cluster-os/web.log", " over");
    node.read("log/cluster-os/web.log")
}

#[test]
fn another_user_and_all_that_goes_with_it() {
    need!("another_user", kit::no_namespaces());
    let seen = told(
        "user",
        "user = \"www\"\ngroups = [\"video\", 77]\numask = \"027\"\ncwd = \"/usr\"\nnice = 5\noom-score-adj = 300\n\
         rlimits = { nofile = \"100:200\", core = 0 }\ncapabilities = [\"NET_BIND_SERVICE\", \"CAP_CHOWN\"]\n\
         no-new-privileges = true\nclear-env = true\npass-env = [\"GIVEN\"]\nenv = { OWN = \"1\", HOME = \"/own\" }",
    );
    for line in [
        "uid=3333(www) gid=4444(www) groups=4444(www),77,4445(video)",
        "Groups:\t77 4445 ",
        "CapInh:\t0000000000000401",
        "CapPrm:\t0000000000000401",
        "CapEff:\t0000000000000401",
        "CapBnd:\t0000000000000401",
        "CapAmb:\t0000000000000401",
        "NoNewPrivs:\t1",
        "nofile 100 200",
        "core 0",
        "umask 0027",
        "cwd /usr",
        "nice 5",
        "oom 300",
        "env OWN=1",
        "env HOME=/own",
        "env USER=www",
        "env LOGNAME=www",
    ] {
        assert!(seen.contains(line), "{line} is not in\n{seen}");
    }
    assert!(!seen.contains("CARGO"), "{seen}");
}

#[test]
fn a_user_alone_loses_every_right_and_every_group() {
    need!("a_user_alone", kit::no_namespaces());
    for (keys, id, home) in [
        ("user = \"www\"", "uid=3333(www) gid=4444(www) groups=4444(www)", Some("env HOME=/srv/www")),
        ("user = 3333\ngroup = 55", "uid=3333(www) gid=55 groups=55", None),
    ] {
        let seen = told("alone", keys);
        for line in [id, "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000"] {
            assert!(seen.contains(line), "{keys}: {line} is not in\n{seen}");
        }
        assert!(home.is_none_or(|home| seen.contains(home)), "{seen}");
    }
}

#[test]
fn root_with_fewer_rights() {
    need!("root_with_fewer_rights", kit::no_namespaces());
    let seen = told("fewer", "capabilities = [\"kill\"]");
    for line in ["uid=0(root)", "CapPrm:\t0000000000000020", "CapEff:\t0000000000000020", "CapBnd:\t0000000000000020"] {
        assert!(seen.contains(line), "{line} is not in\n{seen}");
    }
    let seen = told("none", "capabilities = []\nuser = \"www\"");
    assert!(seen.contains("CapBnd:\t0000000000000000") && seen.contains("uid=3333"), "{seen}");
}

#[test]
fn an_environment_file_is_read_at_each_start() {
    need!("an_environment_file", kit::no_namespaces());
    let text = "# words\n\nA=1\nB='two  words'\nOWN=theirs\n HOME = no\n";
    let table = asks("env-file = \"@/more.env\"\nenv = { OWN = \"mine\" }\nuser = \"www\"\nbackoff = \"50ms\"");
    let write = format!(
        "sh -c 'umask 077; printf \"{}\" > @/more.env && exec \"$@\"' sh ",
        text.replace('\n', "\\n").replace('\'', "'\\''")
    );
    let node = Plan::new("envfile")
        .table(&table)
        .started_as(&prepared().replacen("sh {}", &format!("sh {write}{{}}"), 1))
        .start();
    // A bad line is named, and nothing is started.
    node.wait_for("out", "unable to start web: env-file");
    node.wait_for("out", "/more.env: line 6 is not NAME=VALUE; trying again in");
    assert_eq!(node.read("log/cluster-os/web.log"), "");
    std::fs::write(node.dir.join("more.env"), text.replace(" HOME = no\n", "HOME=/theirs")).expect("the file");
    node.wait_for("log/cluster-os/web.log", " over");
    let seen = node.read("log/cluster-os/web.log");
    for line in ["env A=1", "env B=two  words", "env OWN=mine", "env HOME=/theirs", "uid=3333"] {
        assert!(seen.contains(line), "{line} is not in\n{seen}");
    }
}

#[test]
fn every_failure_is_named_and_nothing_runs() {
    need!("every_failure_is_named", kit::no_namespaces());
    for (keys, cause) in [
        ("user = \"nobody-here\"", "there is no user nobody-here in /etc/passwd"),
        ("group = \"nobody-here\"", "there is no group nobody-here in /etc/group"),
        ("groups = [\"www\", \"nobody-here\"]", "there is no group nobody-here in /etc/group"),
        ("cwd = \"/no/such\"", "cwd /no/such: no such file or directory"),
        ("cwd = \"/root/x\"\nuser = \"www\"", "cwd /root/x: permission denied"),
        ("env-file = \"/no/such\"", "env-file /no/such: no such file or directory"),
        ("env-file = \"/etc\"", "env-file /etc: is a directory"),
        ("env-file = \"/dev/zero\"", "env-file /dev/zero: file too large"),
        ("rlimits = { core = 1, nofile = \"0:9000000000000000000\" }", "rlimits nofile: operation not permitted"),
    ] {
        let table = format!("[unit.web]\nexec = [\"touch\", \"@/ran\"]\n{keys}\n");
        let prepared = prepared().replace("chmod 755", "chmod 700 /root; chmod 755");
        let node = Plan::new("failing").table(&table).started_as(&prepared).start();
        node.wait_for("out", &format!("unable to start web: {cause}; trying again in "));
        // A person is needed: at the longest delay at once.
        let said = node.read("out");
        assert!(said.contains("again in 29.") || said.contains("again in 30 s"), "{said}");
        node.wait_state("web", "backoff");
        assert!(!node.dir.join("ran").exists(), "{keys}");
    }
    // Without the right to change the user nothing runs either.
    for (dropped, keys, cause) in [
        ("setuid", "user = \"www\"", "user www: operation not permitted"),
        ("setgid", "user = \"www\"\ngroup = 7", "group 7: operation not permitted"),
        ("setgid", "groups = [\"video\", 7]", "groups video, 7: operation not permitted"),
        ("setpcap", "capabilities = [\"KILL\"]", "capabilities: operation not permitted"),
        ("sys_nice", "nice = -5", "nice -5: "),
    ] {
        let table = format!("[unit.web]\nexec = [\"touch\", \"@/ran\"]\n{keys}\n");
        let without = prepared().replacen("sh {}", &format!("sh setpriv --bounding-set=-{dropped} {{}}"), 1);
        let node = Plan::new("unable").table(&table).started_as(&without).start();
        node.wait_for("out", &format!("unable to start web: {cause}"));
        assert!(!node.dir.join("ran").exists(), "{keys}");
    }
}

#[test]
fn an_optional_environment_file_may_be_absent() {
    need!("an_optional_environment_file", kit::no_namespaces());
    let seen = told("optional", "env-file = \"/no/such?\"");
    assert!(seen.contains("uid=0(root)"), "{seen}");
}

#[test]
fn a_signal_goes_to_the_units_that_ask_for_it() {
    need!("a_signal_goes", kit::no_namespaces());
    let listens = |name: &str| {
        format!(
            "exec = [\"sh\", \"-c\", \"trap 'echo {name} heard URG' URG; trap 'echo {name} heard 43' 43; echo {name} listens; while :; do sleep 0.02; done\"]"
        )
    };
    let table = format!(
        "[unit.a]\n{}\nforward = [\"URG\"]\n[unit.b]\n{}\nforward = [\"RTMIN+9\", \"URG\"]\nkill = \"main\"\n[unit.c]\n{}\n",
        listens("a"),
        listens("b"),
        listens("c")
    );
    let node = Plan::new("forward").table(&table).start();
    for name in ["a", "b", "c"] {
        node.wait_for("out", &format!("{name} listens"));
        node.wait_state(name, "up");
    }
    node.signal(23);
    node.wait_for("out", "a heard URG");
    node.wait_for("out", "b heard URG");
    node.signal(43);
    node.wait_for("out", "b heard 43");
    node.signal(10);
    node.wait_for("out", "units up");
    let out = node.read("out");
    assert!(!out.contains("c heard") && !out.contains("a heard 43"), "{out}");
}

#[test]
fn another_user_can_say_that_it_is_ready() {
    need!("another_user_can_say", kit::no_namespaces());
    // Our own program may lie where another user does not come.
    let own = std::env::current_exe().expect("our own path").display().to_string();
    let prepared = prepared().replace("mkdir @/etc", &format!("cp {own} @/lib/speaker; mkdir @/etc"));
    let table = format!(
        "[unit.web]\nexec = {}\nready = \"notify\"\nuser = \"www\"\nenv = {{ SPEAK = \"READY=1\" }}\n",
        speaker::exec().replace(&own, "/var/lib/speaker")
    );
    let node = Plan::new("ready").table(&table).started_as(&prepared).start();
    node.wait_state("web", "up");
    let socket = std::fs::metadata(node.dir.join("run/cluster-os/notify/web.sock")).expect("the socket");
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let pid = node.unit_pid("web").expect("its pid");
    assert_eq!(kit::fact(pid, "Uid"), "3333\t3333\t3333\t3333");
}
