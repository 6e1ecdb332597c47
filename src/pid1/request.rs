//! A request that came in: what it asks for, and the line that says who asks.

use crate::control::request;
use crate::sys::signal::Received;
use crate::unit::{Request, Table};

/// The request that came as `received` while this table runs. Who asks is logged before anything comes of it.
///
/// # Errors
/// Why it is refused, and who asked: a whole line.
pub fn read(received: Received, generation: u64, table: &Table) -> Result<Request, String> {
    let from = format!("pid {} user {}", received.pid, received.user);
    let request = request::read(received.value, generation, table.units.len())
        .map_err(|refusal| format!("unable to take a request from {from}: {refusal}"))?;
    let name = table.units.get(request.unit.index()).map_or("", |unit| unit.name.as_str());
    log::info!("{from} asks to {} {name}", request.wish.word());
    Ok(request)
}
