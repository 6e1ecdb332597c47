//! The keys of a unit, for the people who write them.

use super::duration;
use super::keys::{KEYS, Key};

/// The keys as a page for a person.
pub fn help() -> String {
    let width = KEYS.iter().map(|key| key.name.len()).max().unwrap_or(0);
    let mut page = String::from(
        "The unit table: /etc/cluster-os/units.toml, then /etc/cluster-os/units.d/*.toml in name order.\n\
         A later file that names a unit again changes the keys that it says and leaves the others;\n\
         enabled = false switches a unit off. A unit is a table [unit.NAME]; its keys:\n\n",
    );
    for key in KEYS {
        let Key { name, values, default, what, .. } = key;
        page.push_str(&format!(
            "{name:width$}  {what}\n{:width$}  values: {values}\n{:width$}  default: {default}\n",
            "", ""
        ));
    }
    page.push_str("\nA duration is ");
    page.push_str(duration::HOW);
    page.push_str(".\n");
    page
}
