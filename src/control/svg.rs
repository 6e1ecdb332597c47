//! A writer of SVG: elements one by one, every text escaped, colours for light and dark surroundings.

use std::fmt::{Display, Write};

use super::columns::width;

/// How large letters are, in pixels.
pub const LETTER: f64 = 13.0;
/// How wide a letter of a monospaced font is, as a part of its size: what DejaVu, Liberation, Menlo and Consolas stay within.
const ADVANCE: f64 = 0.62;

/// What every picture begins with. Colours come by class, so that a browser in the dark takes the others; what knows no media
/// queries has the light ones.
const STYLE: &str = "\
text{font-family:ui-monospace,'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace;font-size:13px;fill:#1f2328}\
.small{font-size:11px;fill:#59636e}.paper{fill:#ffffff}.rule{stroke:#d1d9e0;fill:none}.line{stroke:#59636e;fill:none}.tip{fill:#59636e}\
.good{fill:#d4f0dc;stroke:#1a7f37}.going{fill:#fff1c2;stroke:#9a6700}.bad{fill:#ffdcd7;stroke:#cf222e}\
.none{fill:#eef1f4;stroke:#818b98}.plain{fill:#ddeeff;stroke:#0969da}.wait{fill:#dfe3e8;stroke:none}\
.begin{fill:#f2c94c;stroke:none}.ready{fill:#74c98a;stroke:none}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9ba5b1}.paper{fill:#0d1117}.rule{stroke:#30363d}\
.line{stroke:#9ba5b1}.tip{fill:#9ba5b1}.good{fill:#12351f;stroke:#3fb950}.going{fill:#3b2e05;stroke:#d29922}\
.bad{fill:#4a1512;stroke:#f85149}.none{fill:#1b2027;stroke:#6e7681}.plain{fill:#0c2d51;stroke:#4493f8}\
.wait{fill:#343b44}.begin{fill:#b58a12}.ready{fill:#2a8a45}}";

/// A picture in the making.
#[derive(Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// A picture so large, and what it is of.
    pub fn new(wide: f64, high: f64, title: &str) -> Svg {
        let (w, h) = (wide.ceil(), high.ceil());
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{w}\" height=\"{h}\"/>\n",
            escaped(title)
        );
        Svg { text }
    }

    /// What the picture shows, for who cannot see it.
    pub fn describe(&mut self, text: &str) {
        self.line(format_args!("<desc>{}</desc>", escaped(text)));
    }

    /// A rectangle with round corners; `title` is what a pointer on it shows.
    pub fn rect(&mut self, class: &str, place: Rect, more: &str, title: &str) {
        let Rect { x, y, wide, high } = place;
        self.line(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{high:.1}\" {more}>\
             <title>{}</title></rect>",
            wide.max(0.0),
            escaped(title)
        ));
    }

    /// A path; `data` is its `d`.
    pub fn path(&mut self, class: &str, data: &str, more: &str) {
        self.line(format_args!("<path class=\"{class}\" d=\"{data}\" {more}/>"));
    }

    /// A line of text, its baseline at `y`; `more` may anchor it.
    pub fn text(&mut self, class: &str, x: f64, y: f64, more: &str, text: &str) {
        self.line(format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" {more}>{}</text>", escaped(text)));
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn line(&mut self, what: impl Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{what}");
    }
}

/// Where a rectangle is, in pixels from the left and the top.
#[derive(Clone, Copy, Debug)]
pub struct Rect {
    /// Its left side.
    pub x: f64,
    /// Its upper side.
    pub y: f64,
    /// Its width.
    pub wide: f64,
    /// Its height.
    pub high: f64,
}

/// How wide `text` is at most in letters of `size`, in pixels.
pub fn extent(text: &str, size: f64) -> f64 {
    pixels(width(text)) * size * ADVANCE
}

/// A number of things as a measure.
pub fn pixels(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// `text` as XML has it; what XML cannot hold at all becomes `?`.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            letter if letter.is_control() => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn no_text_is_markup() {
        assert_eq!(escaped("<a href=\"x\">&'\u{1b}\u{ffff}ä"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;??ä");
    }
}
