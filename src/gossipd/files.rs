//! The files that outlive gossip: the snapshot, the keyring, the tags.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::gossip::Name;
use crate::gossip::serf::Record;
use crate::gossip::wire::tags::Tags;

/// No file of ours is longer: 10,000 members take 3 MB.
const LONGEST: u64 = 64 << 20;

/// What a file says; nothing if there is none.
pub fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(Some(bytes)) }
}

/// Puts `bytes` in the place of a file: whole or not at all, whatever happens; and there to stay.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, beside: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(beside);
    let new = path.with_file_name(name);
    // One that was left behind may have other rights.
    drop(fs::remove_file(&new));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A list of texts as JSON, a line each, as Serf writes keyrings.
pub fn keyring(keys: &[Zeroizing<String>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new("[".to_owned());
    for (at, key) in keys.iter().enumerate() {
        text.push_str(if at == 0 { "\n  \"" } else { ",\n  \"" });
        // Base64 needs no escape.
        text.push_str(key);
        text.push('"');
    }
    text.push_str("\n]");
    text
}

/// The keys of a keyring file, the primary first. The error shows nothing of the text: it may be a key.
pub fn keys(text: &[u8]) -> Result<Vec<Zeroizing<String>>, String> {
    let place = |error: serde_json::Error| {
        format!("line {}, column {}: not a list of keys in base64", error.line(), error.column())
    };
    serde_json::from_slice(text).map_err(place)
}

/// The tags of a tags file.
pub fn tags(text: &[u8]) -> Result<BTreeMap<String, String>, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// Tags as a tags file has them.
pub fn tags_text(tags: &Tags) -> String {
    let text = |(tag, value): (&Name, &Name)| {
        (String::from_utf8_lossy(tag.bytes()).into_owned(), String::from_utf8_lossy(value.bytes()).into_owned())
    };
    let tags: BTreeMap<String, String> = tags.iter().map(text).collect();
    // Text to text is always JSON.
    serde_json::to_string_pretty(&tags).unwrap_or_default()
}

/// The file of the snapshot, to which records are added.
#[derive(Debug)]
pub struct Snapshot {
    path: PathBuf,
    file: Option<File>,
}

impl Snapshot {
    /// The file, and what it says.
    pub fn open(path: &Path) -> io::Result<(Snapshot, Vec<u8>)> {
        let text = read(path)?.map(|bytes| bytes.to_vec()).unwrap_or_default();
        let mut snapshot = Snapshot { path: path.to_owned(), file: None };
        snapshot.file()?;
        // What was cut off by a crash must not become one with what is added.
        if text.last().is_some_and(|last| *last != b'\n') {
            snapshot.file()?.write_all(b"\n")?;
        }
        Ok((snapshot, text))
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().append(true).create(true).mode(0o644).open(&self.path)?,
        };
        Ok(self.file.insert(file))
    }

    /// Does what a record says.
    pub fn keep(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Append(bytes) => self.file()?.write_all(bytes),
            Record::Sync(bytes) => {
                let file = self.file()?;
                file.write_all(bytes)?;
                file.sync_data()
            }
            Record::Rewrite(bytes) => {
                replace(&self.path, bytes, 0o644, ".compact")?;
                self.file = None;
                self.file().map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{Snapshot, keyring, keys, read, replace};
    use crate::gossip::serf::Record;
    use zeroize::Zeroizing;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("gossipd-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_keyring_is_serfs_and_for_nobody_else() {
        let folder = folder("keyring");
        let path = folder.join("keyring");
        let ring = ["AAAA", "BBBB"].map(|key| Zeroizing::new(key.to_owned()));
        let text = keyring(&ring);
        assert_eq!(text.as_str(), "[\n  \"AAAA\",\n  \"BBBB\"\n]");
        replace(&path, text.as_bytes(), 0o600, ".new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(keys(&read(&path).unwrap().unwrap()).unwrap(), ring);
        assert_eq!(read(&folder.join("none")).unwrap(), None);
        let said = keys(b"\"AAAA\"").unwrap_err();
        assert_eq!(said, "line 1, column 6: not a list of keys in base64");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_snapshot_grows_and_is_written_anew() {
        let folder = folder("snapshot");
        let path = folder.join("snapshot");
        fs::write(&path, "clock: 1\nclo").unwrap();
        let (mut snapshot, text) = Snapshot::open(&path).unwrap();
        assert_eq!(text, b"clock: 1\nclo");
        snapshot.keep(&Record::Append(b"clock: 2\n".to_vec())).unwrap();
        snapshot.keep(&Record::Sync(b"leave\n".to_vec())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"clock: 1\nclo\nclock: 2\nleave\n");
        snapshot.keep(&Record::Rewrite(b"clock: 3\n".to_vec())).unwrap();
        snapshot.keep(&Record::Append(b"clock: 4\n".to_vec())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"clock: 3\nclock: 4\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
