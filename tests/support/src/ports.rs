//! Free ports on 127.0.0.1, kept for as long as they are held, even while the node that uses them is down.
//!
//! They lie below the kernel's ephemeral range on purpose: a client that keeps connecting to a dead node's port from
//! that range can end up connected to itself, and the node then cannot come back on its port.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 15_000;
const LAST: u16 = 32_000;

/// A port that no other process using this crate will take while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    /// Locked while held; the kernel lets go of it however the process ends.
    _claim: Option<File>,
}

impl Port {
    /// A port that somebody chose; nothing is checked.
    pub(crate) fn fixed(number: u16) -> Self {
        Self { number, _claim: None }
    }

    /// A free port.
    pub(crate) fn free() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let span = LAST - FIRST;
        let start = u16::try_from(std::process::id() * 97 % u32::from(span)).unwrap_or(0);
        for _ in 0..span {
            let number = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % span) % span;
            if let Some(claim) = claim(number)
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Self { number, _claim: claim };
            }
        }
        panic!("no free port between {FIRST} and {LAST} on 127.0.0.1")
    }
}

/// `None` when another process holds it; `Some(None)` when claims cannot be made here (another user's directory).
fn claim(number: u16) -> Option<Option<File>> {
    let dir = std::env::temp_dir().join("craftwire-kafka-ports");
    let file = fs::create_dir_all(&dir).and_then(|()| File::create(dir.join(number.to_string())));
    match file {
        Ok(file) => file.try_lock().is_ok().then_some(Some(file)),
        Err(_) => Some(None),
    }
}
