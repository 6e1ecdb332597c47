//! The findings as a person reads them, and what is to be said of them.

use super::finding::{Finding, Need, State};

/// The table, one line a finding and one more for each act and remedy.
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (name, need, state) = (finding.name, need(finding.need), state(finding.state));
        text.push_str(&format!("{name:width$}  {need:6}  {state:7}  {}\n", finding.seen));
        for act in &finding.acts {
            text.push_str(&format!("{:width$}  to do: {act}\n", ""));
        }
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{:width$}  remedy: {remedy}\n", ""));
        }
    }
    text
}

/// The one line of an obstacle, in the grammar of a failure.
pub fn obstacle(finding: &Finding) -> String {
    format!(
        "unable to start k3s: {}: {}; {}",
        finding.name,
        finding.seen,
        finding.remedy.as_deref().unwrap_or("see above")
    )
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Must => "must",
        Need::Should => "should",
        Need::May => "may",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Fine => "fine",
        State::Moot => "-",
        State::ToDo => "to do",
        State::Cannot => "CANNOT",
    }
}
