//! Settings that all parts share: addresses, and what a setting that cannot be used looks like.

use std::{fmt, str::FromStr, sync::Arc};

/// A host and a port, as in `kafka-1:9092` or `[::1]:9092`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: Arc<str>,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A setting that cannot be used: its name, the rule and the value given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {rule}, not {value:?}")]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// What it must be.
    pub rule: &'static str,
    /// What was given.
    pub value: String,
}

impl FromStr for HostPort {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError {
            setting: "bootstrap servers",
            rule: "each must be host:port with a port from 1 to 65535",
            value: text.to_owned(),
        };
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.len() > HOST_BYTES_MAX || port == 0 {
            return Err(wrong());
        }
        Ok(Self { host: host.into(), port })
    }
}

/// Reads a comma-separated list of `host:port`.
///
/// # Errors
///
/// [`ConfigError`] when the list is empty or an entry is not `host:port`.
pub(crate) fn parse_bootstrap(text: &str) -> Result<Vec<HostPort>, ConfigError> {
    let servers = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(HostPort::from_str)
        .collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        return Err(ConfigError {
            setting: "bootstrap servers",
            rule: "at least one host:port is needed",
            value: text.to_owned(),
        });
    }
    Ok(servers)
}

/// The longest host name that DNS allows.
const HOST_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_are_read() {
        let servers = parse_bootstrap("kafka-1:9092, 127.0.0.1:9093,[::1]:9094,").unwrap();
        let texts: Vec<_> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["kafka-1:9092", "127.0.0.1:9093", "[::1]:9094"]);
    }

    #[test]
    fn what_is_not_host_and_port_is_named() {
        for wrong in ["kafka", "kafka:", "kafka:0", "kafka:65536", ":9092", "::1:9092", "[::1:9092", ""] {
            let error = parse_bootstrap(wrong).unwrap_err();
            assert_eq!(error.setting, "bootstrap servers");
            assert_eq!(error.value, wrong);
        }
    }
}
