//! Chromium.
