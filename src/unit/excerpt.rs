//! The lines of a table's file that are about one unit.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::mistake::line_starts;
use super::value::Value;

/// The lines of `text`, a file of a table, that say something of the unit `name`, with the comments above and between them;
/// none if there are none.
pub fn excerpt(text: &str, name: &str) -> Option<String> {
    let (root, _) = DeTable::parse_recoverable(text);
    let starts = line_starts(text);
    let line = |byte: usize| starts.partition_point(|start| *start <= byte).saturating_sub(1);
    let mut own = BTreeSet::new();
    let mut others = BTreeSet::new();
    // Where `unit` stands, if it stands alone: [unit], with units below it.
    let mut heads = Vec::new();
    for (key, value) in root.get_ref() {
        let DeValue::Table(units) = value.get_ref() else { continue };
        for (unit, value) in units {
            let is_own = key.get_ref() == "unit" && unit.get_ref() == name;
            let lines = if is_own { &mut own } else { &mut others };
            let mut add = |start: usize, end: usize| lines.extend(line(start)..=line(end.saturating_sub(1).max(start)));
            add(unit.span().start, unit.span().end);
            spans(value, &mut add);
            let headed = |at: usize| text.get(*starts.get(at)?..)?.trim_start().strip_prefix('[');
            if is_own && headed(line(unit.span().start)).is_none() {
                heads.push(line(key.span().start));
            }
        }
    }
    own.extend(heads.into_iter().filter(|head| !others.contains(head)));
    let lines: Vec<&str> = text.lines().collect();
    let bare = |at: usize| lines.get(at).is_none_or(|line| matches!(line.trim_start().as_bytes(), [] | [b'#', ..]));
    let comment = |at: usize| lines.get(at).is_some_and(|line| line.trim_start().starts_with('#'));
    let mut shown: BTreeSet<usize> = own.iter().copied().filter(|at| !bare(*at) || !others.contains(at)).collect();
    for at in &own {
        // Comments right above it.
        for above in (0..*at).rev().take_while(|above| comment(*above)) {
            shown.insert(above);
        }
        // What stands between it and its next line.
        if let Some(next) = own.range(at + 1..).next()
            && (at + 1..*next).all(bare)
        {
            shown.extend(at + 1..*next);
        }
    }
    let mut out = String::new();
    let mut before = None;
    for at in shown {
        if before.is_some_and(|before| before + 1 != at) {
            out.push('\n');
        }
        before = Some(at);
        out.push_str(lines.get(at).copied().unwrap_or_default());
        out.push('\n');
    }
    (!out.is_empty()).then_some(out)
}

/// Where each key and value of `value` stands.
fn spans(value: &Value<'_>, add: &mut dyn FnMut(usize, usize)) {
    match value.get_ref() {
        DeValue::Table(keys) => {
            for (key, value) in keys {
                add(key.span().start, key.span().end);
                spans(value, add);
            }
        }
        _ => add(value.span().start, value.span().end),
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn every_way_to_write_a_unit() {
        let text = "\
# Of the file.

# Of a.
[unit.a] # a
exec = [
  \"x\",

  \"[unit.b]\",
]
# Of b.
[unit.b]
exec = [\"y\"]

[unit.a.env]
# Of X.
X = \"\"\"
[unit.b]
\"\"\"
[unit]
c.exec = [\"z\"]
d = { exec = [\"v\"] }
c.cwd = \"/\"
";
        let a = "# Of a.\n[unit.a] # a\nexec = [\n  \"x\",\n\n  \"[unit.b]\",\n]\n\n[unit.a.env]\n# Of X.\nX = \"\"\"\n[unit.b]\n\"\"\"\n";
        assert_eq!(excerpt(text, "a").as_deref(), Some(a));
        assert_eq!(excerpt(text, "b").as_deref(), Some("# Of b.\n[unit.b]\nexec = [\"y\"]\n"));
        assert_eq!(excerpt(text, "c").as_deref(), Some("[unit]\nc.exec = [\"z\"]\n\nc.cwd = \"/\"\n"));
        assert_eq!(excerpt(text, "d").as_deref(), Some("[unit]\n\nd = { exec = [\"v\"] }\n"));
        assert_eq!((excerpt(text, "e"), excerpt("", "a"), excerpt("unit = 3", "a")), (None, None, None));
    }
}
