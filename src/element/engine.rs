//! What makes the mattes of a stream: a network, or the screen's colour.

use super::keying::Keying;
use crate::auto::Chosen;
use crate::models::Network;

/// What makes the mattes of a stream.
#[derive(Debug)]
pub enum MatteEngine {
    Network(Box<Network>),
    /// The screen's colour.
    Key(Box<Keying>),
}

impl MatteEngine {
    /// The network, if it is one.
    pub fn network(&self) -> Option<&Network> {
        match self {
            MatteEngine::Network(network) => Some(network.as_ref()),
            MatteEngine::Key(_) => None,
        }
    }

    /// The network that has a part in its mattes, be it only a garbage matte.
    pub fn any_network(&self) -> Option<&Network> {
        match self {
            MatteEngine::Network(network) => Some(network.as_ref()),
            MatteEngine::Key(keying) => keying.network(),
        }
    }

    pub fn is_key(&self) -> bool {
        self.network().is_none()
    }

    /// The same for another stream: a network is shared, a screen is looked for anew.
    pub fn again(&self) -> Self {
        match self {
            MatteEngine::Network(network) => MatteEngine::Network(network.clone()),
            MatteEngine::Key(keying) => MatteEngine::Key(Box::new(keying.again())),
        }
    }
}

/// What is ready to run, and the reason if `auto` chose it.
pub struct Loaded {
    pub engine: MatteEngine,
    /// `None` if it was named, or if choosing was interrupted: then `auto` is not resolved yet.
    pub chosen: Option<Chosen>,
}
