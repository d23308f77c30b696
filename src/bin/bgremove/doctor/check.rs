//! One line of the page.

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Good,
    /// An optional part is not available.
    Note,
    Failed,
}

/// One line of the page.
#[derive(Clone, Debug)]
pub struct Check {
    /// Heading.
    pub group: &'static str,
    pub name: String,
    pub mark: Mark,
    pub detail: String,
    /// The command that fixes it.
    pub mend: Option<String>,
    /// If no fix is known: a command that shows the cause.
    pub look: Option<String>,
}

impl Check {
    pub fn new(group: &'static str, name: impl Into<String>, mark: Mark, detail: impl Into<String>) -> Self {
        Self { group, name: name.into(), mark, detail: detail.into(), mend: None, look: None }
    }

    pub fn good(group: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(group, name, Mark::Good, detail)
    }

    pub fn note(group: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(group, name, Mark::Note, detail)
    }

    pub fn failed(group: &'static str, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(group, name, Mark::Failed, detail)
    }

    pub fn mend(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }

    pub fn look(mut self, command: impl Into<String>) -> Self {
        self.look = Some(command.into());
        self
    }

    /// What a probe says of its failure: the reason, and in a second line the command that mends it, if it knows one;
    /// else one shows the cause.
    pub fn refused(group: &'static str, name: &str, what: &str, why: &str, look: String) -> Self {
        let (why, mend) = why.split_once('\n').unwrap_or((why, ""));
        let check = Self::failed(group, name, format!("{what}: {why}"));
        if mend.is_empty() { check.look(look) } else { check.mend(mend) }
    }
}
