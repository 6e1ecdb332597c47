//! Names of hosts to addresses. The libraries for that wait, so each name has a thread of its own, a few at a time.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// As many names are looked up at once.
const THREADS: usize = 4;
/// As many more wait their turn.
const WAITING: usize = 1024;
/// A thread that asks a name server needs little.
const STACK: usize = 128 << 10;

/// What a name is looked up for, and what came of it.
pub type Answer = (u64, Result<Vec<SocketAddr>, String>);

/// Looks up names.
#[derive(Debug)]
pub struct Resolver {
    answers: Receiver<Answer>,
    sender: Sender<Answer>,
    waker: UnixStream,
    woken: UnixStream,
    running: usize,
    waiting: VecDeque<(u64, String, u16)>,
}

impl Resolver {
    /// None is looked up yet.
    pub fn new() -> std::io::Result<Resolver> {
        let (sender, answers) = channel();
        let (waker, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        Ok(Resolver { answers, sender, waker, woken, running: 0, waiting: VecDeque::new() })
    }

    /// Readable when there are answers.
    pub fn fd(&self) -> RawFd {
        self.woken.as_raw_fd()
    }

    /// Looks `host` up, for `id`. An answer that needs no thread is given at once.
    pub fn resolve(&mut self, id: u64, host: &str, port: u16) -> Option<Answer> {
        if let Ok(ip) = host.parse() {
            return Some((id, Ok(vec![SocketAddr::new(ip, port)])));
        }
        if self.waiting.len() >= WAITING {
            return Some((id, Err("too many names to look up".to_owned())));
        }
        self.waiting.push_back((id, host.to_owned(), port));
        self.go_on()
    }

    fn go_on(&mut self) -> Option<Answer> {
        while self.running < THREADS {
            let (id, host, port) = self.waiting.pop_front()?;
            let sender = self.sender.clone();
            let Ok(waker) = self.waker.try_clone() else {
                return Some((id, Err("no descriptor is free".to_owned())));
            };
            let look = move || {
                let found = (host.as_str(), port).to_socket_addrs();
                let found = found.map(Iterator::collect::<Vec<_>>).map_err(|error| {
                    let text = error.to_string();
                    format!("lookup {host}: {}", text.rsplit(": ").next().unwrap_or(&text))
                });
                // Nobody listens any more: the program ends.
                drop(sender.send((id, found)));
                drop((&waker).write(&[1]));
            };
            match thread::Builder::new().stack_size(STACK).spawn(look) {
                Ok(_) => self.running += 1,
                Err(error) => return Some((id, Err(error.to_string()))),
            }
        }
        None
    }

    /// What was found since the last time.
    pub fn take(&mut self) -> Vec<Answer> {
        let mut bytes = [0; 64];
        while matches!((&self.woken).read(&mut bytes), Ok(1..)) {}
        let mut answers: Vec<_> = self.answers.try_iter().collect();
        self.running = self.running.saturating_sub(answers.len());
        answers.extend(self.go_on());
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::Resolver;

    #[test]
    fn an_address_needs_no_thread_and_a_name_comes_back() {
        let mut resolver = Resolver::new().unwrap();
        assert_eq!(resolver.resolve(1, "10.0.0.1", 7).unwrap().1.unwrap()[0].to_string(), "10.0.0.1:7");
        assert_eq!(resolver.resolve(2, "localhost", 7), None);
        let mut slots =
            [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&resolver.woken), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut slots, 20_000_u16).unwrap();
        let (id, found) = resolver.take().remove(0);
        assert_eq!(id, 2);
        assert!(found.unwrap().iter().all(|address| address.ip().is_loopback()));
        assert_eq!(resolver.running, 0);
    }
}
