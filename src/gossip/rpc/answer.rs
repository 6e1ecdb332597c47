//! The bytes of answers: a header and, for some commands, a body.

use std::collections::BTreeMap;

use super::stats::Stats;
use crate::gossip::Name;
use crate::gossip::serf::{KeyReport, Member};
use crate::gossip::wire::coordinate::Coordinate;
use crate::gossip::wire::pack::{Flavour, Pack, Writer};

/// A map, whose fields are given sorted or not.
pub struct Fields<'a, const N: usize>(pub [(&'a str, &'a dyn Pack); N]);

impl<const N: usize> Pack for Fields<'_, N> {
    fn pack(&self, out: &mut Writer) {
        out.fields(&mut self.0.clone());
    }
}

/// A list.
pub struct List<'a, T>(pub &'a [T]);

impl<T: Pack> Pack for List<'_, T> {
    fn pack(&self, out: &mut Writer) {
        out.array(self.0.len());
        self.0.iter().for_each(|item| item.pack(out));
    }
}

impl Pack for Member {
    fn pack(&self, out: &mut Writer) {
        let [min, max, cur, delegate_min, delegate_max, delegate_cur] = &self.vsn;
        out.fields(&mut [
            ("Name", &self.name),
            ("Addr", &self.addr),
            ("Port", &self.port),
            ("Tags", &self.tags()),
            ("Status", &self.status.word()),
            ("ProtocolMin", min),
            ("ProtocolMax", max),
            ("ProtocolCur", cur),
            ("DelegateMin", delegate_min),
            ("DelegateMax", delegate_max),
            ("DelegateCur", delegate_cur),
        ]);
    }
}

/// An answer without a body; `error` is empty if nothing is wrong.
pub fn header(seq: u64, error: &str) -> Vec<u8> {
    begin(seq, error).into_bytes()
}

/// A header, to which a body can be written.
pub fn begin(seq: u64, error: &str) -> Writer {
    let mut out = Writer::new(Flavour::Rpc);
    out.fields(&mut [("Error", &error), ("Seq", &seq)]);
    out
}

/// How many were joined, said also if there is an error.
pub fn joined(seq: u64, error: &str, count: usize) -> Vec<u8> {
    let mut out = begin(seq, error);
    out.fields(&mut [("Num", &(count as u64))]);
    out.into_bytes()
}

/// Members.
pub fn members(seq: u64, members: &[Member]) -> Vec<u8> {
    let mut out = begin(seq, "");
    out.fields(&mut [("Members", &List(members))]);
    out.into_bytes()
}

/// Numbers.
pub fn stats(seq: u64, stats: &Stats) -> Vec<u8> {
    let mut out = begin(seq, "");
    let sections = stats.sections();
    out.map(sections.len());
    for (name, section) in &sections {
        out.text(name.as_bytes());
        section.pack(&mut out);
    }
    out.into_bytes()
}

/// Where a member is.
pub fn coordinate(seq: u64, coordinate: Option<&Coordinate>) -> Vec<u8> {
    let mut out = begin(seq, "");
    let place = coordinate.cloned().unwrap_or_default();
    // A place without dimensions is written as a nil.
    let vec = coordinate.map(|coordinate| coordinate.vec.clone());
    out.fields(&mut [
        (
            "Coord",
            &Fields([
                ("Adjustment", &place.adjustment),
                ("Error", &place.error),
                ("Height", &place.height),
                ("Vec", &vec),
            ]),
        ),
        ("Ok", &coordinate.is_some()),
    ]);
    out.into_bytes()
}

/// What became of keys, said also if there is an error.
pub fn keys(seq: u64, answer: &KeyReport) -> Vec<u8> {
    let mut out = begin(seq, &answer.error);
    out.fields(&mut [
        ("Messages", &answer.messages),
        ("Keys", &answer.keys.as_ref().map(counts)),
        ("NumNodes", &(answer.nodes as u64)),
        ("NumErr", &(answer.errors as u64)),
        ("NumResp", &(answer.responses as u64)),
    ]);
    out.into_bytes()
}

fn counts(counts: &BTreeMap<Name, usize>) -> BTreeMap<Name, u64> {
    counts.iter().map(|(key, count)| (key.clone(), *count as u64)).collect()
}
