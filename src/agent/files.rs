//! Reading and writing the agent's files: whole or not at all, through no link, and secret ones for root alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use zeroize::Zeroizing;

/// No file of the agent comes near this many bytes.
const LIMIT: u64 = 1 << 20;

/// Nor does a file of others that it changes come near this many.
const OTHERS: u64 = 16 << 20;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a disk: made durable before it takes its name.
    Kept,
    /// Under `/run`: made anew at each start.
    Run,
}

/// The text of the file, or none if there is no file. Does not follow a link in the last part of the path.
pub fn read(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut text = Zeroizing::new(String::new());
    if file.take(LIMIT).read_to_string(&mut text)? as u64 == LIMIT {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "the file is larger than 1 MiB"));
    }
    Ok(Some(text))
}

/// The file, open to be read, or none if there is none: a regular one, and not behind a link.
fn open(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Some(file))
}

/// The bytes of a file that is not the agent's alone, or none if there is no file. As [`read`], it follows no link; `FileTooLarge` above
/// 16 MiB.
pub fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    if file.take(OTHERS).read_to_end(&mut bytes)? as u64 == OTHERS {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "the file is larger than 16 MiB"));
    }
    Ok(Some(bytes))
}

/// Puts `new` where `old` was, none if there was no file, in a file that is not the agent's alone: its mode and its owner stay.
///
/// Whole or not at all, by another file of the same name. A file that is mounted by itself, as in containers, or in a folder that cannot be
/// written, gets no other name: it is written in place, from the first byte that differs on, and back again if the rest does not fit.
pub fn exchange(path: &Path, old: Option<&[u8]>, new: &[u8]) -> io::Result<()> {
    let draft = draft(path);
    let drafted = (|| {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let like = old.map(|_| fs::symlink_metadata(path)).transpose()?;
        let mode = like.as_ref().map_or(0o644, |like| like.permissions().mode() & 0o777);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).custom_flags(libc::O_NOFOLLOW).open(&draft)?;
        file.write_all(new)?;
        if let Some(like) = like {
            std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    let Err(error) = drafted else { return Ok(()) };
    drop(fs::remove_file(&draft));
    match (error.raw_os_error(), old) {
        (Some(libc::EBUSY | libc::EROFS | libc::EXDEV | libc::EACCES | libc::EPERM), Some(old)) => {
            in_place(path, old, new)
        }
        _ => Err(error),
    }
}

fn in_place(path: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let put = |bytes: &[u8]| {
        file.write_all_at(bytes.get(same..).unwrap_or_default(), same as u64)?;
        file.set_len(bytes.len() as u64)
    };
    if let Err(error) = put(new) {
        // The error that matters is the first one.
        drop(put(old));
        return Err(error);
    }
    file.sync_all()
}

/// Writes `text` to the file, whole or not at all, with mode 0600 (`secret`) or 0644.
pub fn replace(path: &Path, text: &str, secret: bool, place: Place) -> io::Result<()> {
    write(path, text, secret, place, |draft| fs::rename(draft, path))
}

/// Writes a secret that must not exist yet; `AlreadyExists` if it does, and then nothing is changed.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, true, Place::Kept, |draft| {
        match renameat2(AT_FDCWD, draft, AT_FDCWD, path, RenameFlags::RENAME_NOREPLACE) {
            // A file system without this flag: the caller has looked just before.
            Err(nix::Error::EINVAL | nix::Error::ENOSYS) if !path.exists() => fs::rename(draft, path),
            other => other.map_err(io::Error::from),
        }
    })
}

/// Makes the folder of `path` with mode 0700 (`secret`) or 0755 where it does not exist.
pub fn folder(path: &Path, secret: bool) -> io::Result<()> {
    let mode = if secret { 0o700 } else { 0o755 };
    DirBuilder::new().recursive(true).mode(mode).create(parent(path))
}

/// Takes the file from everyone but its owner; true if somebody else could have read it until now.
pub fn close(path: &Path) -> io::Result<bool> {
    let mode = fs::symlink_metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(true)
}

fn write(
    path: &Path,
    text: &str,
    secret: bool,
    place: Place,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let draft = draft(path);
    // What a crash left behind.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if secret { 0o600 } else { 0o644 };
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).custom_flags(libc::O_NOFOLLOW).open(&draft)?;
        file.write_all(text.as_bytes())?;
        // The umask may have taken what everyone is meant to read.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if place == Place::Kept {
            file.sync_all()?;
        }
        drop(file);
        name(&draft)?;
        if place == Place::Kept {
            File::open(parent(path))?.sync_all()?;
        }
        Ok(())
    })();
    if written.is_err() {
        // The error that matters is the first one.
        drop(fs::remove_file(&draft));
    }
    written
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.new", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::{Place, bytes, close, create, exchange, folder, in_place, read, replace};
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    fn place(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("clusteros-init-files-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        folder.join("inner/file.json")
    }

    #[test]
    fn files_are_written_whole_and_secret_ones_closed() {
        let path = place("whole");
        assert!(read(&path).unwrap().is_none());
        folder(&path, true).unwrap();
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        create(&path, "one").unwrap();
        assert_eq!(create(&path, "two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        replace(&path, "three", false, Place::Run).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(close(&path).unwrap() && !close(&path).unwrap());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(path.parent().unwrap().parent().unwrap()).unwrap();
    }

    #[test]
    fn links_and_folders_are_not_read() {
        let path = place("links");
        folder(&path, false).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert!(read(&path).is_err());
        assert!(read(path.parent().unwrap()).is_err());
        replace(&path, "mine", true, Place::Kept).unwrap();
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        fs::remove_dir_all(path.parent().unwrap().parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_of_others_keeps_its_mode_and_is_changed_whole_or_in_place() {
        let path = place("others");
        folder(&path, false).unwrap();
        exchange(&path, None, b"one\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        exchange(&path, Some(b"one\n"), b"one\n\xfftwo\n").unwrap();
        assert_eq!(bytes(&path).unwrap().unwrap(), b"one\n\xfftwo\n");
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.permissions().mode() & 0o777, 0o664);
        assert_ne!(after.ino(), before);
        for (old, new) in
            [("one\n\u{0}two\n", "one\nthree and more\n"), ("one\nthree and more\n", "o"), ("o", ""), ("", "new")]
        {
            fs::write(&path, old).unwrap();
            in_place(&path, old.as_bytes(), new.as_bytes()).unwrap();
            assert_eq!(bytes(&path).unwrap().unwrap(), new.as_bytes());
            assert_eq!(fs::metadata(&path).unwrap().ino(), after.ino());
        }
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file.json"]);
        drop(fs::remove_dir_all(path.parent().unwrap().parent().unwrap()));
    }
}
