//! The units that PID 1 adds to a table itself. Their names are reserved, so that no table has them already.

use std::collections::BTreeMap;

use super::table::{Kill, Need, Restart, Signal, Table, Unit, UnitId};

impl Table {
    /// The table with the units `names` behind all others, each as the first of `former` has it that does. They refer to
    /// what is still there, one to another, too.
    pub fn with_former(mut self, names: &[String], former: &[Table]) -> Table {
        let first = self.units.len();
        let find = |name: &String| {
            former.iter().find_map(|table| Some((table, table.units.iter().find(|unit| unit.name == *name)?)))
        };
        let found: Vec<Option<(&Table, &Unit)>> = names.iter().map(find).collect();
        for (name, found) in names.iter().zip(&found) {
            self.units.push(found.map_or_else(|| Unit::new(name, Vec::new()), |(_, unit)| unit.clone()));
        }
        let places: BTreeMap<String, UnitId> =
            self.units.iter().map(|unit| unit.name.clone()).zip((0u16..).map(UnitId)).collect();
        for (unit, found) in self.units.iter_mut().skip(first).zip(found) {
            let now = |id: UnitId| places.get(&found?.0.units.get(id.index())?.name).copied();
            let all = |ids: &[UnitId]| ids.iter().filter_map(|id| now(*id)).collect();
            unit.needs = unit.needs.iter().filter_map(|need| Some(Need { unit: now(need.unit)?, ..*need })).collect();
            unit.binds = all(&unit.binds);
            unit.wants = all(&unit.wants);
        }
        self
    }

    /// The table with the command of the command line as the unit `main`: it starts after every enabled unit has settled,
    /// is never started again, and its end ends the node. An empty `argv` adds nothing.
    pub fn with_main(mut self, argv: Vec<String>) -> Table {
        if argv.is_empty() {
            return self;
        }
        let mut main = Unit::new("main", argv);
        main.description = "the command of the command line".to_owned();
        main.restart = Restart::Never;
        main.main = true;
        main.wants = (0u16..)
            .map(UnitId)
            .zip(&self.units)
            .filter(|(_, unit)| unit.enabled && !unit.last)
            .map(|(id, _)| id)
            .collect();
        self.units.push(main);
        self
    }

    /// The table with `exec` as the unit `logd`, which starts before and stops after all others. It ends by itself when its
    /// pipes do, and a stop signals it alone.
    pub fn with_logd(mut self, exec: Vec<String>) -> Table {
        if exec.is_empty() {
            return self;
        }
        let mut logd = Unit::new("logd", exec);
        logd.description = "the units' output, to files and to stdout".to_owned();
        logd.kill = Kill::Main;
        // It ignores what ends others, and loses nothing by this.
        logd.stop_signal = Signal(9);
        logd.last = true;
        self.units.push(logd);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_waits_for_what_is_enabled() {
        let mut off = Unit::new("off", vec!["x".to_owned()]);
        off.enabled = false;
        let table = Table { units: vec![Unit::new("a", vec!["x".to_owned()]), off] };
        let table = table.with_logd(vec!["logd".to_owned()]).with_main(vec!["sh".to_owned()]);
        let names: Vec<&str> = table.units.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names, ["a", "off", "logd", "main"]);
        assert_eq!(table.units[3].wants, [UnitId(0)]);
        assert!(table.units[3].main && table.units[2].last);
        assert_eq!(table.units[3].restart, Restart::Never);
        assert_eq!(table.order().len(), 4);
    }

    #[test]
    fn who_is_behind_refers_to_what_is_still_there() {
        let unit = |name: &str| Unit::new(name, vec!["x".to_owned()]);
        let need = |unit| Need { unit: UnitId(unit), optional: false };
        // `web` comes before `db`, which it needs, and both before `net`.
        let web = Unit { needs: vec![need(1), need(3)], wants: vec![UnitId(2)], ..unit("web") };
        let db = Unit { binds: vec![UnitId(2)], ..unit("db") };
        let former = [Table { units: vec![web, db, unit("net"), unit("gone")] }];
        let names = ["web", "db", "unknown"].map(str::to_owned);
        let table = Table { units: vec![unit("new"), unit("net")] }.with_former(&names, &former);
        let found: Vec<&str> = table.units.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(found, ["new", "net", "web", "db", "unknown"]);
        assert_eq!((&table.units[2].needs, &table.units[2].wants), (&vec![need(3)], &vec![UnitId(1)]));
        assert_eq!(table.units[3].binds, [UnitId(1)]);
        assert_eq!(table.units[4], Unit::new("unknown", Vec::new()));
    }

    #[test]
    fn no_command_adds_nothing() {
        assert_eq!(Table::default().with_main(Vec::new()), Table::default());
    }
}
