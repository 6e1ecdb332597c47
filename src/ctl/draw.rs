//! `initctl graph` and `initctl boot-chart`.

use std::path::PathBuf;

use log::error;

use super::call::Whom;
use super::check;
use super::code::CONFIGURATION;
use super::document::{Document, Reading};
use super::look::Look;
use super::picture::chart::Chart;
use super::picture::graph::Graph;
use super::{reload, shown};
use crate::unit::read;

/// What `graph` is to draw.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Drawing {
    pub svg: bool,
    /// The files of a table; none: the node that runs.
    pub files: Vec<PathBuf>,
    pub of: Whom,
}

/// Draws the graph; the exit code.
pub(super) fn graph(drawing: &Drawing) -> u8 {
    let drawn = if drawing.files.is_empty() {
        let reading = Document::latest(&drawing.of).map(|(_, reading)| reading);
        reading.map(|Reading { status, .. }| (Graph::of_status(&status), status.summary())).map_err(|unable| {
            error!("{unable}");
            unable.code
        })
    } else {
        of_files(&drawing.files)
    };
    match drawn {
        Ok((graph, title)) => shown(&if drawing.svg { graph.svg(&title) } else { graph.dot() }),
        Err(code) => code,
    }
}

/// The graph of a table, and a title for it.
fn of_files(files: &[PathBuf]) -> Result<(Graph, String), u8> {
    let texts = check::texts(files).map_err(|cause| {
        error!("unable to read {cause}; nothing is drawn");
        CONFIGURATION
    })?;
    let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
    match read(&texts) {
        Ok(table) => Ok((Graph::of_table(&table), names.join(", "))),
        Err(mistakes) => {
            let count = reload::mistakes(mistakes.len() as u64);
            error!("unable to draw this table: it has {count}; \"initctl check\" says which");
            Err(CONFIGURATION)
        }
    }
}

/// Draws how the node came up, as text or as SVG; the exit code.
pub(super) fn boot_chart(text: bool, of: &Whom) -> u8 {
    match Document::latest(of) {
        Ok((_, Reading { status, .. })) if text => shown(&Chart::new(&status).text(Look::found().width)),
        Ok((_, Reading { status, .. })) => shown(&Chart::new(&status).svg()),
        Err(unable) => {
            error!("{unable}");
            unable.code
        }
    }
}
