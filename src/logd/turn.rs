//! The loop: wait for any pipe, read, cut into lines, show and keep them; until every pipe has ended.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use super::file::{LogFile, News};
use super::format;
use super::line::{LONGEST, Line, Lines};
use super::outlet::Outlet;

/// Everything that one logd holds.
#[derive(Debug)]
pub struct Turn {
    sources: Vec<Source>,
    own: LogFile,
    outlet: Option<Outlet>,
}

#[derive(Debug)]
struct Source {
    name: String,
    pipe: Option<OwnedFd>,
    lines: Lines,
    file: LogFile,
}

impl Turn {
    /// Ready to follow these pipes, each under its unit's name, into files in `dir` and, if given, the outlet. The
    /// outlet knows the sources by their places here, and logd itself by the place after the last.
    pub fn new(pipes: Vec<(OwnedFd, String)>, dir: &Path, outlet: Option<Outlet>) -> Turn {
        let source = |(pipe, name): (OwnedFd, String)| Source {
            file: LogFile::new(dir, &name),
            name,
            pipe: Some(pipe),
            lines: Lines::default(),
        };
        Turn { sources: pipes.into_iter().map(source).collect(), own: LogFile::new(dir, "logd"), outlet }
    }

    /// Follows the pipes to their ends. Returns when all that they carried is written.
    pub fn run(mut self) {
        let mut buffer = vec![0; LONGEST];
        while let Some(ready) = self.wait() {
            for index in ready {
                self.follow(index, &mut buffer);
            }
        }
        if let Some(outlet) = &self.outlet
            && !outlet.finish()
        {
            let text = "warning: unable to show the last lines: standard output is stuck; the log files have them";
            let stamp = now();
            let mut kept = Vec::new();
            format::kept(&stamp, Line { text: text.as_bytes(), goes_on: false }, &mut kept);
            self.own.append(&kept, 1, Instant::now());
        }
    }

    /// Says a line of logd's own.
    pub fn say(&mut self, text: &str) {
        let line = Line { text: text.as_bytes(), goes_on: false };
        match &self.outlet {
            Some(outlet) => outlet.show(self.sources.len(), line),
            // Without standard output as a place for lines, what is wrong with the files has this one way left.
            None => drop(writeln!(io::stderr(), "logd: {text}")),
        }
        let mut kept = Vec::new();
        format::kept(&now(), line, &mut kept);
        drop(self.own.append(&kept, 1, Instant::now()));
    }

    /// The places of the pipes that have something, or nothing when every pipe has ended.
    fn wait(&mut self) -> Option<Vec<usize>> {
        loop {
            let open: Vec<_> = (0..).zip(&self.sources).filter(|(_, source)| source.pipe.is_some()).collect();
            let mut polled: Vec<_> = open
                .iter()
                .filter_map(|(_, source)| source.pipe.as_ref())
                .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN))
                .collect();
            if polled.is_empty() {
                return None;
            }
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) => {
                    let ready = open.iter().zip(&polled).filter(|(_, polled)| polled.any().unwrap_or(true));
                    return Some(ready.map(|((index, _), _)| *index).collect());
                }
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    // ENOMEM, the one error left, is the kernel's and passes.
                    let text = format!("error: unable to wait for the pipes: {}; trying again", errno.desc());
                    self.say(&text);
                    std::thread::sleep(std::time::Duration::from_secs(1));
                }
            }
        }
    }

    /// One read of one pipe, so that a unit that never stops talking keeps no other waiting.
    fn follow(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(source) = self.sources.get_mut(index) else { return };
        let Some(pipe) = &source.pipe else { return };
        let outcome = read(pipe, buffer);
        let stamp = now();
        let (mut kept, mut count) = (Vec::new(), 0);
        let mut each = |line: Line<'_>| {
            count += 1;
            format::kept(&stamp, line, &mut kept);
            if let Some(outlet) = &self.outlet {
                outlet.show(index, line);
            }
        };
        let mut trouble = None;
        match outcome {
            Ok(0) => {
                source.lines.finish(each);
                source.pipe = None;
            }
            Ok(read) => source.lines.take(buffer.get(..read).unwrap_or_default(), &mut each),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => {
                source.lines.finish(each);
                source.pipe = None;
                trouble =
                    Some(format!("error: unable to read from {}: {}; its lines are lost", source.name, errno.desc()));
            }
        }
        let news = if count > 0 { source.file.append(&kept, count, Instant::now()) } else { None };
        if let Some(news) = news {
            let text = self.tell(&news);
            self.say(&text);
        }
        if let Some(text) = trouble {
            self.say(&text);
        }
    }

    fn tell(&self, news: &News) -> String {
        match news {
            News::Broken(path, error) if self.outlet.is_some() => format!(
                "warning: unable to write {}: {error}; its lines go to standard output alone until it can be written",
                path.display()
            ),
            News::Broken(path, error) => format!(
                "warning: unable to write {}: {error}; its lines are lost until it can be written",
                path.display()
            ),
            News::Mended(path, lost) => {
                let lines = if *lost == 1 { "1 line is" } else { &format!("{lost} lines are") };
                format!("info: {} is written again; {lines} missing in it", path.display())
            }
        }
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format::stamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
