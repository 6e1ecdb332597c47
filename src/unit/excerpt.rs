//! The lines of a table's file that are about one unit.

use toml::de::{DeTable, DeValue};

use super::mistake::line_starts;
use super::value::Value;

/// The lines of `text`, a file of a table, that say something of the unit `name`, with the comments above and between them;
/// none if there are none.
pub fn excerpt(text: &str, name: &str) -> Option<String> {
    let (root, _) = DeTable::parse_recoverable(text);
    let starts = line_starts(text);
    let line = |byte: usize| starts.partition_point(|start| *start <= byte).saturating_sub(1);
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Vec<Whose> = vec![Whose::Nobodys; starts.len()];
    // Where `unit` stands, if it stands alone: [unit], with units below it.
    let mut heads = Vec::new();
    for (key, value) in root.get_ref() {
        let DeValue::Table(units) = value.get_ref() else { continue };
        for (unit, value) in units {
            let is_own = key.get_ref() == "unit" && unit.get_ref() == name;
            let whose = if is_own { Whose::Own } else { Whose::Others };
            let mut add = |start: usize, end: usize| {
                let last = line(end.saturating_sub(1).max(start));
                found.iter_mut().take(last + 1).skip(line(start)).for_each(|line| *line = (*line).max(whose));
            };
            add(unit.span().start, unit.span().end);
            spans(value, &mut add);
            let headed = |at: usize| lines.get(at).is_some_and(|line| line.trim_start().starts_with('['));
            if is_own && !headed(line(unit.span().start)) {
                heads.push(line(key.span().start));
            }
        }
    }
    for head in heads {
        if let Some(whose @ Whose::Nobodys) = found.get_mut(head) {
            *whose = Whose::Own;
        }
    }
    let mut out = String::new();
    let mut before = None;
    // Comments, and what else says nothing, since the last line that does.
    let mut between: Vec<&str> = Vec::new();
    for (text, whose) in lines.iter().zip(found) {
        let bare = matches!(text.trim_start().as_bytes(), [] | [b'#', ..]);
        match whose {
            Whose::Nobodys if bare => between.push(text),
            Whose::Nobodys | Whose::Others => {
                between.clear();
                before = before.map(|_| Whose::Others);
            }
            Whose::Own => {
                if before != Some(Whose::Own) {
                    // Those right above it.
                    let above = between.iter().rev().take_while(|line| !line.trim_start().is_empty()).count();
                    between.drain(..between.len() - above);
                    if before.is_some() {
                        out.push('\n');
                    }
                }
                for line in between.drain(..).chain([*text]) {
                    out.push_str(line);
                    out.push('\n');
                }
                before = Some(Whose::Own);
            }
        }
    }
    before.map(|_| out)
}

/// Whose a line is; what a unit shares with others is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Nobodys,
    Others,
    Own,
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
