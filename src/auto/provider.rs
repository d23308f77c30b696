//! Which execution provider a network runs on, where that is left open: the fastest one, as far as that is known.

use super::kept::Figure;
use super::trial::{Errand, Trial};
use crate::error::Result;
use crate::models::Network;
use crate::runtime::{Cancel, Provider};
use std::time::Duration;

const UNKNOWN: &str = "the usual order: it has not been measured what others take";

impl Trial {
    /// Loads the network for a stream. `low_priority`: as for [`Network::load`]; `settled`: the provider that it has run on in this stream
    /// before, which is not changed.
    ///
    /// # Errors
    /// As for [`Network::load`].
    pub fn load(&self, low_priority: bool, settled: Option<Provider>) -> Result<Network> {
        match settled.filter(|_| self.is_open()) {
            Some(provider) => {
                let rest = Provider::automatic(u64::MAX).filter(|p| *p != provider);
                let order: Vec<Provider> = std::iter::once(provider).chain(rest).collect();
                self.load_in(&order, "as before in this stream", low_priority)
            }
            None => self.load_by(self.is_open().then(|| self.known()).flatten().as_ref(), low_priority),
        }
    }

    /// As [`Self::load`], and where it is not known which provider is the fastest, that is measured first: at most as long as
    /// `patience` lasts, and `interrupted` or `cancel` end it. When patience is over, the usual order counts, and it is measured on
    /// for whoever comes next, until `cancel` is called. `beside`: another stream, or this one, runs meanwhile.
    ///
    /// # Errors
    /// As for [`Network::load`].
    pub fn load_fastest(
        &self,
        low_priority: bool,
        beside: bool,
        patience: Duration,
        cancel: &Cancel,
        interrupted: impl Fn() -> bool,
    ) -> Result<Network> {
        let network = self.load(low_priority, None)?;
        let measured = |network: &Network| {
            let place = network.session.provider.name();
            self.known().is_some_and(|figure| figure.order().any(|name| name == place))
        };
        // What cannot be kept would hold up each start.
        if !self.is_open() || measured(&network) || !self.place().is_some_and(|p| p.is_writable()) {
            return Ok(network);
        }
        match self.run_for(patience, Errand::new(cancel, beside), interrupted) {
            Ok(ran) => {
                let network = self.load_by(Some(&ran.figure), low_priority);
                drop(ran.winner);
                network
            }
            // Why it is not known does not matter for the stream.
            Err(_) => Ok(network),
        }
    }

    /// Loads it by a figure, if there is one.
    ///
    /// # Errors
    /// As for [`Network::load`].
    pub fn load_by(&self, figure: Option<&Figure>, low_priority: bool) -> Result<Network> {
        if !self.is_open() {
            let (target, threads) = (&self.target, self.threads);
            return Network::load(self.runtime, self.network.choice(), target, threads, low_priority);
        }
        let usual: Vec<Provider> = Provider::automatic(u64::MAX).collect();
        let Some(figure) = figure else { return self.load_in(&usual, UNKNOWN, low_priority) };
        // One that did not load when it was measured may do so by now.
        let measured = |p: &Provider| figure.order().position(|name| name == p.name());
        let mut order = usual;
        order.sort_by_key(|p| measured(p).map_or(0, |at| at + 1));
        let mut network = self.load_in(&order, &format!("measured: {}", figure.line()), low_priority)?;
        if measured(&network.session.provider).is_none() {
            self.forget();
            network.reason = UNKNOWN.to_string();
        }
        network.passed_over.extend(figure.failed.iter().map(|(name, why)| {
            format!("{name}: {why} (when it was measured; `bgremove doctor` measures anew)")
        }));
        Ok(network)
    }

    fn load_in(&self, order: &[Provider], reason: &str, low_priority: bool) -> Result<Network> {
        Network::load_first(self.runtime, self.network.choice(), order, reason, self.threads, low_priority)
    }
}
