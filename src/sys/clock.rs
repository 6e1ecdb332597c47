//! The clock of PID 1.

/// Nanoseconds on `CLOCK_BOOTTIME`: only goes forward, and counts the time that a machine was suspended.
pub fn boottime() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to. The call cannot fail with this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Seconds of Unix time as year, month, day, hour, minute and second where this machine is, by `TZ` or `/etc/localtime`.
pub fn local(seconds: i64) -> [i32; 6] {
    let time: libc::time_t = seconds;
    // SAFETY: a tm is numbers and a pointer, for all of which zero is a value.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both are valid for the call. What it returns is `parts`, or null, and then `parts` is as it was.
    unsafe { libc::localtime_r(&raw const time, &raw mut parts) };
    [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec]
}
