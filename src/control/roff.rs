//! A man page in the making: text becomes roff.

/// Who makes the pages.
const SOURCE: &str = concat!("clusteros\\-init ", env!("CARGO_PKG_VERSION"));

/// A page in the making.
#[derive(Debug)]
pub struct Roff(String);

impl Roff {
    /// The page with this name, in this section, about `what`.
    pub fn new(name: &str, section: u8, what: &str) -> Roff {
        let mut roff = Roff(String::new());
        roff.line(&format!(".TH {} {section} \"\" \"{SOURCE}\" \"clusteros\\-init\"", plain(&name.to_uppercase())));
        // Left-aligned and without hyphens: names of options and files stay as they are.
        roff.line(".ad l");
        roff.line(".nh");
        roff.heading("NAME");
        roff.line(&format!("{} \\- {}", plain(name), plain(what)));
        roff
    }

    /// A line of roff, as it is.
    pub fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// The head of a section.
    pub fn heading(&mut self, name: &str) {
        self.line(&format!(".SH \"{name}\""));
    }

    /// A paragraph of [`words`](Roff::words).
    pub fn paragraph(&mut self, text: &str) {
        self.line(".PP");
        self.words(text);
    }

    /// Text with what stands between backticks in bold.
    pub fn words(&mut self, text: &str) {
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut line = String::new();
        for (place, part) in flat.split('`').enumerate() {
            line.push_str(&if place % 2 == 1 { format!("\\fB{}\\fR", plain(part)) } else { plain(part) });
        }
        // What begins with a dot or a quote is a request to roff.
        self.line(&if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line });
    }

    /// What `text` says of `tag`.
    pub fn tagged(&mut self, tag: &str, text: &str) {
        self.line(".TP");
        self.line(&format!("\\fB{}\\fR", plain(tag)));
        self.words(text);
    }

    /// Lines as they are.
    pub fn example(&mut self, text: &str) {
        self.line(".PP");
        self.line(".nf");
        for line in text.lines() {
            self.line(&format!("\\&    {}", plain(line)));
        }
        self.line(".fi");
    }

    /// What exit codes mean.
    pub fn codes(&mut self, codes: &[(u8, &str)]) {
        for (code, text) in codes {
            self.tagged(&code.to_string(), text);
        }
    }

    /// The whole, with other pages, by name and section, that are worth a look.
    pub fn see_also(mut self, pages: impl Iterator<Item = (&'static str, u8)>) -> String {
        self.heading("SEE ALSO");
        let others: Vec<String> = pages.map(|(name, section)| format!("\\fB{}\\fR({section})", plain(name))).collect();
        self.line(&others.join(", "));
        self.0
    }
}

/// `text` as roff has it.
pub fn plain(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('^', "\\(ha").replace('\'', "\\(aq")
}
