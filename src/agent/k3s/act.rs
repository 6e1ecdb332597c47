//! Performing one act. What changes beyond this process is answered as a line for the log, the old value before the new.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::agent::paths::Paths;
use crate::cluster::k3s::environment;
use crate::cluster::k3s::finding::Act;
use crate::cluster::k3s::mounts::{self, covering};

/// Does it. The line is none where nothing beyond this process changed; the error is the cause.
pub fn perform(paths: &Paths, act: &Act) -> Result<Option<String>, String> {
    let said = |error: io::Error| match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    };
    match act {
        Act::Device { path, major, minor } => {
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            let device = makedev(u64::from(*major), u64::from(*minor));
            mknod(Path::new(path), SFlag::S_IFCHR, mode, device).map_err(|errno| errno.desc().to_owned())?;
            Ok(Some(format!("made the device {path} ({major}:{minor})")))
        }
        Act::File { path, text } => file(&place(paths, path), text).map_err(said),
        Act::Link { path, target } => {
            link(&place(paths, path), &place(paths, target), &relative(path, target)).map_err(said)
        }
        Act::Bind { from, over } => {
            remount(Some(from), over, MsFlags::MS_BIND)?;
            Ok(Some(format!("bound {from} over {over}")))
        }
        Act::Writable(path) => writable(path),
        Act::Shared(path) => {
            remount(None, path, MsFlags::MS_REC | MsFlags::MS_SHARED)?;
            Ok(Some(format!("{path} and what is mounted below it: private -> shared")))
        }
        Act::Sysctl { key, value } => sysctl(key, value).map_err(said),
        Act::Module(name) => module(name),
        Act::OpenFiles(number) => {
            let (_, before) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| errno.desc().to_owned())?;
            setrlimit(Resource::RLIMIT_NOFILE, *number, before.max(*number))
                .map_err(|errno| errno.desc().to_owned())?;
            Ok(None)
        }
        Act::Argument { .. } => Ok(None),
    }
}

/// Devices and the kernel's own files are where they are; everything else is under the root.
pub fn place(paths: &Paths, path: &str) -> PathBuf {
    let kernels = ["/dev/", "/proc/", "/sys/"].iter().any(|folder| path.starts_with(folder));
    if kernels { PathBuf::from(path) } else { paths.resolve(Path::new(path)) }
}

/// The file of /proc/sys for a value of the kernel.
pub fn sysctl_file(key: &str) -> PathBuf {
    PathBuf::from(format!("/proc/sys/{}", key.replace('.', "/")))
}

fn sysctl(key: &str, value: &str) -> io::Result<Option<String>> {
    let file = sysctl_file(key);
    let before = fs::read_to_string(&file)?;
    // One value may have set another.
    if before.trim() == value {
        return Ok(None);
    }
    fs::write(&file, value)?;
    Ok(Some(format!("{key}: {} -> {value}", before.trim())))
}

/// Written in place: the file may be a mount of its own, as a container's /etc/hosts is.
fn file(path: &Path, text: &str) -> io::Result<Option<String>> {
    if fs::read_to_string(path).is_ok_and(|now| now == text) {
        return Ok(None);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)?;
    Ok(Some(format!("wrote {}", path.display())))
}

fn link(path: &Path, target: &Path, said: &str) -> io::Result<Option<String>> {
    fs::create_dir_all(target)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    symlink(said, path)?;
    Ok(Some(format!("made {} a link to {said}", path.display())))
}

/// `target` as it is seen from the folder of `path`: right under every root.
fn relative(path: &str, target: &str) -> String {
    let depth = path.matches('/').count().saturating_sub(1);
    "../".repeat(depth) + target.trim_start_matches('/')
}

fn remount(from: Option<&str>, path: &str, flags: MsFlags) -> Result<(), String> {
    mount(from, path, None::<&str>, flags, None::<&str>).map_err(|errno| errno.desc().to_owned())
}

/// The mount that `path` lies on, with the restrictions that it has.
fn writable(path: &str) -> Result<Option<String>, String> {
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let mounts = mounts::read(&text);
    let found = covering(&mounts, path).ok_or_else(|| "it is not mounted".to_owned())?;
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    for (option, flag) in [("nosuid", MsFlags::MS_NOSUID), ("nodev", MsFlags::MS_NODEV), ("noexec", MsFlags::MS_NOEXEC)]
    {
        flags.set(flag, found.has(option));
    }
    remount(None, &found.point, flags)?;
    Ok(Some(format!("{}: read-only -> writable", found.point)))
}

fn module(name: &str) -> Result<Option<String>, String> {
    let path = environment::path(&std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("modprobe");
    command.arg("--quiet").arg(name).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(Some(format!("loaded the module {name}"))),
        Ok(_) => Err("modprobe refused it".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("there is no modprobe".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_that_is_there_is_not_written_again() {
        // Nobody may write this one.
        assert_eq!(super::sysctl("kernel.ostype", "Linux").ok(), Some(None));
        assert!(super::sysctl("kernel.ostype", "another").is_err());
    }
}
