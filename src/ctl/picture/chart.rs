//! How a node came up: a bar a unit, from waiting over starting to up; as SVG, and as text.

use std::time::Duration;

use crate::control::columns::{padded, plain, shortened, width};
use crate::control::svg::{LETTER, Rect, Svg, extent, pixels};
use crate::control::{Status, UnitStatus};
use crate::unit::duration::short;

/// Pixels around the picture, of a row, of the time's part, and from a name to its bar.
const MARGIN: f64 = 24.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;
const SPAN: f64 = 640.0;
const BESIDE: f64 = 12.0;

/// One unit's way, in microseconds from the start of PID 1.
struct Way<'a> {
    unit: &'a UnitStatus,
    waiting: u64,
    starting: Option<u64>,
    ready: Option<u64>,
}

/// The ways of all units that were ever wanted, in the order of their starts, and when the last of them was ready.
pub(in crate::ctl) struct Chart<'a> {
    status: &'a Status,
    ways: Vec<Way<'a>>,
    /// Where the axis ends; never 0.
    end: u64,
}

impl<'a> Chart<'a> {
    /// The chart of a node.
    pub fn new(status: &'a Status) -> Chart<'a> {
        let mut ways: Vec<Way<'_>> = status
            .units
            .iter()
            .filter_map(|unit| {
                let (starting, ready) = (unit.first_start_us, unit.first_ready_us);
                Some(Way { unit, waiting: unit.first_waiting_us.or(starting)?, starting, ready })
            })
            .collect();
        ways.sort_by_key(|way| (way.starting.unwrap_or(u64::MAX), way.waiting, way.ready));
        let last = ways.iter().flat_map(|way| [Some(way.waiting), way.starting, way.ready]).flatten().max();
        // Room for what has no end yet.
        let last = last.unwrap_or(0).max(1_000);
        Chart { status, ways, end: last.saturating_add(last / 10) }
    }

    /// What it says in a line.
    fn title(&self) -> String {
        let ready = self.ways.iter().filter_map(|way| way.ready);
        let (count, all) = (ready.clone().count(), self.ways.len());
        let program = plain(&self.status.program);
        match ready.max() {
            Some(last) => format!("{program}: {count} of {all} units ready after {}", span(last)),
            None => format!("{program}: 0 of {all} units ready"),
        }
    }

    /// The chart as SVG.
    pub fn svg(&self) -> String {
        let names = self.ways.iter().map(|way| extent(&way.unit.name, LETTER)).fold(60.0, f64::max);
        let left = MARGIN + names + BESIDE;
        let wide = left + SPAN + 2.0 * MARGIN + 90.0;
        let top = MARGIN + 52.0;
        let high = top + pixels(self.ways.len()) * ROW + 2.0 * MARGIN + 14.0;
        let mut svg = Svg::new(wide, high, &self.title());
        svg.text("head", MARGIN, MARGIN + 2.0, "font-weight=\"bold\"", &self.title());
        let x = |at: u64| left + SPAN * self.part(at);
        let bottom = top + pixels(self.ways.len()) * ROW;
        for tick in ticks(self.end, 8) {
            svg.path("rule", &format!("M{:.1} {:.1} V{bottom:.1}", x(tick), top - 6.0), "");
            svg.text("small", x(tick), top - 12.0, "text-anchor=\"middle\"", &span(tick));
        }
        for (place, way) in self.ways.iter().enumerate() {
            let y = top + pixels(place) * ROW + (ROW - BAR) / 2.0;
            let bar = |from: u64, to: u64| Rect { x: x(from), y, wide: (x(to) - x(from)).max(1.0), high: BAR };
            svg.text("name", left - BESIDE, y + BAR - 4.0, "text-anchor=\"end\"", &way.unit.name);
            let started = way.starting.unwrap_or(self.end);
            svg.rect("wait", bar(way.waiting, started), "", &format!("{} waits", way.unit.name));
            if let Some(from) = way.starting {
                let until = way.ready.unwrap_or(self.end);
                svg.rect("begin", bar(from, until), "", &format!("{} starts", way.unit.name));
            }
            if let Some(from) = way.ready {
                svg.rect("ready", bar(from, self.end), "", &format!("{} is up", way.unit.name));
            }
            svg.text("small", x(self.end) + 8.0, y + BAR - 4.0, "", &way.says());
        }
        let y = bottom + MARGIN + 4.0;
        for (place, (class, name)) in
            [("wait", "waiting"), ("begin", "starting"), ("ready", "up or done")].into_iter().enumerate()
        {
            let at = left + pixels(place) * 120.0;
            svg.rect(class, Rect { x: at, y: y - 10.0, wide: 22.0, high: 12.0 }, "", name);
            svg.text("small", at + 30.0, y, "", name);
        }
        svg.finish()
    }

    /// The chart as text in lines of at most `limit` columns.
    pub fn text(&self, limit: usize) -> String {
        let limit = limit.max(40);
        let most = self.ways.iter().map(|way| width(&way.unit.name)).max().unwrap_or(4);
        let names = most.min(limit / 4);
        let says = self.ways.iter().map(|way| width(&way.says())).max().unwrap_or(0).min(limit / 4);
        let room = limit.saturating_sub(names + says + 4);
        let mut text = shortened(&self.title(), limit) + "\n";
        text.push_str(&self.axis(names + 2, room));
        for way in &self.ways {
            let name = padded(&shortened(&plain(&way.unit.name), names), names);
            let bar: String = (0..room).map(|cell| way.mark(self.end, cell, room)).collect();
            let line = format!("{name}  {bar}  {}", shortened(&way.says(), says));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push_str(&shortened("░ waiting  █ starting  ─ up or done", limit));
        text.push('\n');
        text
    }

    fn axis(&self, left: usize, room: usize) -> String {
        let mut line = " ".repeat(left);
        for tick in ticks(self.end, room / 12) {
            let at = left + (self.part(tick) * pixels(room)) as usize;
            let label = span(tick);
            if at >= width(&line) && at + width(&label) <= left + room {
                line = padded(&line, at) + &label + " ";
            }
        }
        line.trim_end().to_owned() + "\n"
    }

    /// How far along the axis `at` is: 0 to 1.
    fn part(&self, at: u64) -> f64 {
        at.min(self.end) as f64 / self.end as f64
    }
}

impl Way<'_> {
    /// How long it took to start, or what it is still at.
    fn says(&self) -> String {
        match (self.starting, self.ready) {
            (Some(from), Some(to)) => span(to.saturating_sub(from)),
            (Some(_), None) | (None, _) => plain(&self.unit.state),
        }
    }

    /// What stands in this cell of so many.
    fn mark(&self, end: u64, cell: usize, room: usize) -> char {
        let edge = |cell: usize| u64::try_from(u128::from(end) * cell as u128 / room.max(1) as u128).unwrap_or(end);
        let (from, to) = (edge(cell), edge(cell + 1));
        let starting = self.starting.unwrap_or(u64::MAX);
        let ready = self.ready.unwrap_or(u64::MAX);
        // A start is seen, however short it was.
        if starting < to && (ready > from || starting >= from) {
            '█'
        } else if ready <= from {
            '─'
        } else if self.waiting < to {
            '░'
        } else {
            ' '
        }
    }
}

/// Round times from 0 to `end`, at most about so many.
fn ticks(end: u64, most: usize) -> impl Iterator<Item = u64> {
    let least = end / u64::try_from(most.max(1)).unwrap_or(1);
    let mut step: u64 = 1;
    let mut factors = [2, 5, 10].into_iter().cycle();
    let mut power: u64 = 1;
    while step < least {
        let factor = factors.next().unwrap_or(10);
        step = power.saturating_mul(factor);
        if factor == 10 {
            power = step;
        }
    }
    (0..).map_while(move |tick: u64| step.checked_mul(tick)).take_while(move |at| *at <= end)
}

/// Microseconds as a person reads them.
fn span(micros: u64) -> String {
    match micros {
        0 => "0".to_owned(),
        1..1_000 => format!("{micros}us"),
        1_000..10_000 if micros % 1_000 >= 100 => format!("{}.{}ms", micros / 1_000, micros % 1_000 / 100),
        _ => short(Duration::from_micros(micros)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let all = |end, most| ticks(end, most).collect::<Vec<_>>();
        assert_eq!(all(1_000, 4), [0, 500, 1_000]);
        assert_eq!(all(1_700_000, 8), [0, 500_000, 1_000_000, 1_500_000]);
        assert_eq!(all(9, 20), (0..=9).collect::<Vec<_>>());
        for end in [1, 7, 999, 123_456_789, 86_400_000_000] {
            assert!(all(end, 8).len() <= 9, "{end}");
        }
        // As a stranger's document may have it.
        assert!(ticks(u64::MAX, 8).take(10).count() < 10);
    }

    #[test]
    fn spans() {
        let shown = [0, 7, 999, 1_000, 1_540, 41_000, 1_700_000].map(span);
        assert_eq!(shown, ["0", "7us", "999us", "1ms", "1.5ms", "41ms", "1.7s"]);
    }
}
