//! The memory in which a snapshot outlives the program that made it: a file of the kernel's that every exec leaves alone.
//!
//! Its first page is mapped, so that a fault handler, and the kernel itself when it makes a process, write to it without a
//! call. The texts follow, each in two halves by turns: a fault in the middle of writing leaves the last one whole.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use super::{Errno, check, memory, twice};

/// The first page. Its layout is a contract between versions, as the texts are.
#[repr(C)]
struct Head {
    mark: AtomicU64,
    /// When exec was called, in nanoseconds of the boot's clock.
    left: AtomicU64,
    /// What broke the program that called it: a signal, or [`PANIC`]; 0: nothing.
    broke: AtomicU64,
    /// When the last faults were, newest first.
    faults: [AtomicU64; FAULTS],
    records: [Record; 2],
    birth: Birth,
    /// For which text `birth` counts, and what it is of.
    birth_after: AtomicU64,
    birth_of: AtomicU64,
    answer_length: AtomicU64,
    answer: [AtomicU8; ANSWER],
}

/// One of the two texts.
#[repr(C)]
struct Record {
    /// Which text this is, counted from 1; 0 while it is written.
    number: AtomicU64,
    stable_half: AtomicU64,
    stable_length: AtomicU64,
    stable_sum: AtomicU64,
    moving_length: AtomicU64,
    moving_sum: AtomicU64,
}

/// Where a new process is written down before it runs.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Birth {
    /// The descriptor that tells how its exec goes.
    pub exec: AtomicI32,
    /// Its pid; 0 before there is one.
    pub pid: AtomicI32,
}

/// What broke a program, beside signals.
pub const PANIC: u64 = 1000;
/// How many faults are remembered.
pub const FAULTS: usize = 4;
/// The longest answer in bytes.
const ANSWER: usize = 1024;
/// `ci-snap` and the version of the layout.
const MARK: u64 = u64::from_be_bytes(*b"ci-snap\x01");
const PAGE: usize = 4096;
/// Where the halves are; the file is sparse. A text that would reach into the next place is refused.
const MOVING: [u64; 2] = [1 << 12, 1 << 26];
const STABLE: [u64; 2] = [2 << 26, 3 << 26];
const LARGEST: usize = (1 << 26) - (1 << 12);

/// The first page of the one store that faults are noted in; null before [`Store::arm`].
static HEAD: AtomicPtr<Head> = AtomicPtr::new(std::ptr::null_mut());

/// The memory, and what was last written.
pub struct Store {
    file: OwnedFd,
    /// The mapping of the first page; it lasts as long as this, or for ever once armed.
    head: NonNull<Head>,
    number: u64,
    stable_half: u64,
    stable_length: u64,
    stable_sum: u64,
}

/// A text as it was kept.
pub struct Kept {
    /// Which it is, counted from 1.
    pub number: u64,
    /// What changes, then what hardly does.
    pub text: Vec<u8>,
}

impl Store {
    /// New memory with nothing in it.
    pub fn new() -> Result<Store, Errno> {
        let file = memory::file(c"clusteros-init")?;
        // SAFETY: makes our own file one page long.
        check(unsafe { libc::ftruncate(file.as_raw_fd(), PAGE as libc::off_t) }.into())?;
        let store = Store::over(file)?;
        store.head().mark.store(MARK, Ordering::Relaxed);
        Ok(store)
    }

    /// The memory that an earlier program left open as `number`.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` if it is none; `EPROTO` if its layout is another version's.
    pub fn adopt(number: RawFd) -> Result<Store, Errno> {
        // SAFETY: asks about a number, and changes a flag of it.
        unsafe {
            let mut found: libc::stat = std::mem::zeroed();
            twice(|| check(libc::fstat(number, &raw mut found).into()))?;
            if found.st_mode & libc::S_IFMT != libc::S_IFREG || found.st_size < PAGE as libc::off_t {
                return Err(Errno::EINVAL);
            }
            twice(|| check(libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC).into()))?;
        }
        // SAFETY: it is open, came with the process, and nothing else owns it.
        let mut store = Store::over(unsafe { OwnedFd::from_raw_fd(number) })?;
        if store.head().mark.load(Ordering::Relaxed) != MARK {
            return Err(Errno::EPROTO);
        }
        let newest = store.head().records.iter().max_by_key(|record| record.number.load(Ordering::Acquire));
        let told = newest.map(|newest| {
            let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
            [of(&newest.number), of(&newest.stable_half), of(&newest.stable_length), of(&newest.stable_sum)]
        });
        [store.number, store.stable_half, store.stable_length, store.stable_sum] = told.unwrap_or_default();
        Ok(store)
    }

    fn over(file: OwnedFd) -> Result<Store, Errno> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping of a page that the file has.
        let map = || unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, file.as_raw_fd(), 0) };
        let mapped = |at: *mut libc::c_void| if at == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(at) };
        let at = twice(|| mapped(map()))?;
        let head = NonNull::new(at.cast::<Head>()).ok_or(Errno::EFAULT)?;
        Ok(Store { file, head, number: 0, stable_half: 0, stable_length: 0, stable_sum: 0 })
    }

    fn head(&self) -> &Head {
        // SAFETY: mapped until this is dropped, and only ever used through atomics, for which every bit pattern is good.
        unsafe { self.head.as_ref() }
    }

    /// From now on [`note_fault`] notes faults here.
    pub fn arm(&self) {
        HEAD.store(self.head.as_ptr(), Ordering::Relaxed);
    }

    /// Keeps a text: `moving`, and `stable` where that has changed since the last one. Which it is.
    pub fn keep(&mut self, moving: &[u8], stable: Option<&[u8]>) -> Result<u64, Errno> {
        if moving.len() > LARGEST || stable.is_some_and(|stable| stable.len() > LARGEST) {
            return Err(Errno::EFBIG);
        }
        if let Some(stable) = stable {
            let half = 1 - self.stable_half.min(1);
            self.write(stable, STABLE[half as usize])?;
            (self.stable_half, self.stable_length, self.stable_sum) = (half, stable.len() as u64, sum(stable));
        }
        let number = self.number + 1;
        let half = (number % 2) as usize;
        let record = &self.head().records[half];
        record.number.store(0, Ordering::Release);
        self.write(moving, MOVING[half])?;
        record.stable_half.store(self.stable_half, Ordering::Relaxed);
        record.stable_length.store(self.stable_length, Ordering::Relaxed);
        record.stable_sum.store(self.stable_sum, Ordering::Relaxed);
        record.moving_length.store(moving.len() as u64, Ordering::Relaxed);
        record.moving_sum.store(sum(moving), Ordering::Relaxed);
        record.number.store(number, Ordering::Release);
        self.number = number;
        Ok(number)
    }

    /// The last text that is whole.
    ///
    /// # Errors
    /// `ENODATA` if there is none.
    pub fn last(&self) -> Result<Kept, Errno> {
        let [first, second] = [0, 1].map(|half: usize| self.head().records[half].number.load(Ordering::Acquire));
        let order = if first >= second { [0, 1] } else { [1, 0] };
        order.into_iter().find_map(|half| self.whole(half)).ok_or(Errno::ENODATA)
    }

    fn whole(&self, half: usize) -> Option<Kept> {
        let record = &self.head().records[half];
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let number = of(&record.number);
        let mut text = self.read(of(&record.moving_length), MOVING[half])?;
        let stable = self.read(of(&record.stable_length), *STABLE.get(of(&record.stable_half) as usize)?)?;
        let good = number > 0 && sum(&text) == of(&record.moving_sum) && sum(&stable) == of(&record.stable_sum);
        text.extend(stable);
        good.then_some(Kept { number, text })
    }

    /// A process of `of` is about to be made. What becomes of that is written here until the next text is kept.
    pub fn birth(&self, of: u64) -> &Birth {
        self.head().birth_after.store(0, Ordering::Relaxed);
        self.head().birth.pid.store(0, Ordering::Relaxed);
        self.head().birth.exec.store(-1, Ordering::Relaxed);
        self.head().birth_of.store(of, Ordering::Relaxed);
        self.head().birth_after.store(self.number, Ordering::Release);
        &self.head().birth
    }

    /// What a program that broke was making after it kept text `number`, and what had become of it.
    pub fn born(&self, number: u64) -> Option<(u64, &Birth)> {
        let after = self.head().birth_after.load(Ordering::Acquire);
        (after == number).then(|| (self.head().birth_of.load(Ordering::Relaxed), &self.head().birth))
    }

    /// When exec was called, and what broke the program that called it, if anything did.
    pub fn arrival(&self) -> (u64, u64) {
        (self.head().left.load(Ordering::Relaxed), self.head().broke.swap(0, Ordering::Relaxed))
    }

    /// We are about to call exec.
    pub fn leave(&self) {
        self.head().left.store(super::clock::boottime(), Ordering::Relaxed);
    }

    /// When the last faults were, newest first; 0: never.
    pub fn faults(&self) -> [u64; FAULTS] {
        std::array::from_fn(|at| self.head().faults[at].load(Ordering::Relaxed))
    }

    /// Answers whoever lent us this memory.
    pub fn answer(&self, text: &str) {
        let cut = text.as_bytes().get(..ANSWER).unwrap_or(text.as_bytes());
        for (to, from) in self.head().answer.iter().zip(cut) {
            to.store(*from, Ordering::Relaxed);
        }
        self.head().answer_length.store(cut.len() as u64, Ordering::Release);
    }

    /// What was answered; empty if nothing was.
    pub fn answered(&self) -> String {
        let length = usize::try_from(self.head().answer_length.load(Ordering::Acquire)).unwrap_or(0).min(ANSWER);
        let bytes: Vec<u8> = self.head().answer[..length].iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn write(&self, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let place = libc::off_t::try_from(at).map_err(|_| Errno::EFBIG)?;
            // SAFETY: `bytes` is readable for its length.
            let got = unsafe { libc::pwrite(self.file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), place) };
            match check(got as libc::c_long) {
                Ok(0) => return Err(Errno::ENOSPC),
                Ok(got) => {
                    at += got.unsigned_abs();
                    bytes = bytes.get(usize::try_from(got).unwrap_or(0)..).unwrap_or_default();
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn read(&self, length: u64, mut at: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok().filter(|length| *length <= LARGEST)?];
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let place = libc::off_t::try_from(at).ok()?;
            // SAFETY: `rest` is writable for its length.
            let mut pread =
                || unsafe { libc::pread(self.file.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len(), place) };
            let got = twice(|| check(pread() as libc::c_long)).ok()?;
            let got = usize::try_from(got).ok().filter(|got| *got > 0)?;
            at += got as u64;
            rest = rest.get_mut(got..)?;
        }
        Some(bytes)
    }
}

impl Drop for Store {
    /// A program that was asked and refused leaves nothing mapped behind. What faults are noted in stays.
    fn drop(&mut self) {
        if HEAD.load(Ordering::Relaxed) != self.head.as_ptr() {
            // SAFETY: our own mapping, and every reference into it ends with `self`.
            unsafe { libc::munmap(self.head.as_ptr().cast(), PAGE) };
        }
    }
}

impl AsRawFd for Store {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Notes what broke us, and when, where the next program finds it. Async-signal-safe. Whether there is anything to go on from.
pub(super) fn note_fault(what: u64) -> bool {
    let head = HEAD.load(Ordering::Relaxed);
    if head.is_null() {
        return false;
    }
    // SAFETY: points to a mapping that is never unmapped, as it is armed.
    let head = unsafe { &*head };
    let now = super::clock::boottime();
    for at in (1..FAULTS).rev() {
        head.faults[at].store(head.faults[at - 1].load(Ordering::Relaxed), Ordering::Relaxed);
    }
    head.faults[0].store(now, Ordering::Relaxed);
    head.left.store(now, Ordering::Relaxed);
    head.broke.store(what, Ordering::Relaxed);
    true
}

/// Words of eight bytes, each mixed in by a multiplication: finds what a torn or stray write leaves, in no time.
fn sum(bytes: &[u8]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    for word in bytes.chunks(8) {
        let mut whole = [0; 8];
        whole[..word.len()].copy_from_slice(word);
        sum = (sum ^ u64::from_le_bytes(whole)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use super::*;

    fn text(store: &Store) -> (u64, String) {
        let kept = store.last().unwrap();
        (kept.number, String::from_utf8(kept.text).unwrap())
    }

    #[test]
    fn the_last_whole_text_is_found_again() {
        let mut store = Store::new().unwrap();
        assert_eq!(store.last().err(), Some(Errno::ENODATA));
        assert_eq!(store.keep(b"one ", Some(b"table")), Ok(1));
        assert_eq!(store.keep(b"two ", None), Ok(2));
        assert_eq!(text(&store), (2, "two table".to_owned()));
        // Broken in the middle of the third.
        store.head().records[1].number.store(0, Ordering::Relaxed);
        store.write(b"thr", MOVING[1]).unwrap();
        assert_eq!(text(&store), (2, "two table".to_owned()));
        let again = Store::adopt(nix::unistd::dup(&store.file).unwrap().into_raw_fd()).unwrap();
        assert_eq!(text(&again), (2, "two table".to_owned()));
        assert_eq!(store.keep(b"3 ", Some(b"other")), Ok(3));
        assert_eq!(text(&again), (3, "3 other".to_owned()));
        // A stray write into the newest: the one before it counts, with the table that it had.
        store.write(b"x", MOVING[1]).unwrap();
        assert_eq!(text(&store), (2, "two table".to_owned()));
        let mut again = Store::adopt(nix::unistd::dup(&store.file).unwrap().into_raw_fd()).unwrap();
        assert_eq!(again.keep(b"four ", None), Ok(4));
        assert_eq!(text(&again), (4, "four other".to_owned()));
    }

    #[test]
    fn a_birth_counts_for_the_text_before_it() {
        let mut store = Store::new().unwrap();
        store.keep(b"one", None).unwrap();
        assert!(store.born(1).is_none());
        store.birth(7).pid.store(42, Ordering::Relaxed);
        let pid = |of: Option<(u64, &Birth)>| of.map(|(of, birth)| (of, birth.pid.load(Ordering::Relaxed)));
        assert_eq!(pid(store.born(1)), Some((7, 42)));
        store.keep(b"two", None).unwrap();
        assert!(store.born(2).is_none());
    }

    #[test]
    fn answers_come_back() {
        let store = Store::new().unwrap();
        assert_eq!(store.answered(), "");
        store.answer("yes 1");
        assert_eq!(store.answered(), "yes 1");
        store.answer(&"x".repeat(5000));
        assert_eq!(store.answered().len(), ANSWER);
    }

    #[test]
    fn what_is_dropped_is_mapped_no_more() {
        let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("memfd:clusteros-init").count();
        let before = mapped();
        let stores: Vec<Store> = (0..50).map(|_| Store::new().unwrap()).collect();
        assert!(mapped() >= before + 50);
        drop(stores);
        // Other tests make some meanwhile.
        assert!(mapped() < before + 25);
    }

    #[test]
    fn what_is_no_store_is_refused() {
        assert_eq!(Store::adopt(12_345).err(), Some(Errno::EBADF));
        let file = memory::file(c"x").unwrap();
        assert_eq!(Store::adopt(nix::unistd::dup(&file).unwrap().into_raw_fd()).err(), Some(Errno::EINVAL));
        nix::unistd::ftruncate(&file, 8192).unwrap();
        assert_eq!(Store::adopt(nix::unistd::dup(&file).unwrap().into_raw_fd()).err(), Some(Errno::EPROTO));
    }
}
