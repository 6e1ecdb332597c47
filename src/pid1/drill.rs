//! A way to break PID 1 on purpose, so that the rescue can be tested. Not in release builds.

/// Panics when `wanted`.
pub fn panic_if(wanted: bool) {
    if cfg!(debug_assertions) && wanted {
        std::panic::panic_any("a drill");
    }
}
