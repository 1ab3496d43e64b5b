//! The jars of Apache Kafka, fetched once by Maven from a pinned `pom.xml` into the target directory.
//!
//! Invariant: `target/kafka/<version>` is whole or absent. It is filled under another name and renamed, under a file
//! lock, so test binaries that start together fetch once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip::Skip;

/// The Kafka to start. The default is the version that the project is developed against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Apache Kafka 3.9.1, the floor.
    V3_9,
    /// Apache Kafka 4.1.1.
    #[default]
    V4_1,
}

impl Version {
    /// As Kafka writes it: `4.1.1`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3_9 => "3.9.1",
            Self::V4_1 => "4.1.1",
        }
    }

    /// The directory with the jars; fetches them where they are missing (about 20 s).
    ///
    /// # Errors
    ///
    /// [`Skip`] when Maven does not run or cannot fetch them.
    pub fn libs(self) -> Result<PathBuf, Skip> {
        let pom = crate_dir().join("kafka").join(self.as_str()).join("pom.xml");
        let cache = target_dir().join("kafka");
        let home = cache.join(self.as_str());
        let failed = |what: &str, error: std::io::Error| Skip::new(format!("cannot {what}: {error}"));

        fs::create_dir_all(&cache).map_err(|e| failed("make the directory for Kafka's jars", e))?;
        let lock = File::create(cache.join(format!("{}.lock", self.as_str())))
            .map_err(|e| failed("make the lock file for Kafka's jars", e))?;
        lock.lock().map_err(|e| failed("lock the directory for Kafka's jars", e))?;

        let libs = home.join("libs");
        let pinned = fs::read(&pom).map_err(|e| failed("read the pom.xml of Kafka", e))?;
        if fs::read(home.join("pom.xml")).is_ok_and(|fetched| fetched == pinned) {
            return Ok(libs);
        }
        let fresh = cache.join(format!(".{}-{}", self.as_str(), std::process::id()));
        let _ = fs::remove_dir_all(&fresh);
        copy_dependencies(&pom, &fresh.join("libs"))?;
        fs::write(fresh.join("pom.xml"), pinned)
            .map_err(|e| failed("keep the pom.xml beside the jars", e))?;
        let _ = fs::remove_dir_all(&home);
        fs::rename(&fresh, &home).map_err(|e| failed("move Kafka's jars into place", e))?;
        crate::archive::make(self, &libs);
        Ok(libs)
    }
}

/// The directory of this crate: its Java sources and poms stand there.
pub(crate) fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(dir).expect("the current directory is readable"),
        None => crate_dir().ancestors().nth(2).expect("this crate lies in tests/support").join("target"),
    }
}

fn copy_dependencies(pom: &Path, libs: &Path) -> Result<(), Skip> {
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(pom)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", libs.display()))
        .arg("-DincludeScope=runtime")
        .output()
        .map_err(|error| Skip::new(format!("`mvn` does not run ({error}); install Maven")))?;
    if output.status.success() && libs.is_dir() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let tail: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).take(3).collect();
    Err(Skip::new(format!("Maven could not fetch Kafka's jars ({}): {}", output.status, tail.join(" | "))))
}
