//! Task: stopping: the first Ctrl-C ends the players and shows the summary, the second ends everything.

use tokio::sync::watch;

use crate::{output::note, signals::interrupted};

/// How often somebody asked to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// Listens for Ctrl-C from now on.
    pub(crate) fn on_interrupt() -> Self {
        let (asked, receiver) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                interrupted().await;
                asked.send_modify(|times| *times += 1);
                if *asked.borrow() == 1 {
                    note("\nstopping; once more ends at once");
                }
            }
        });
        Self(receiver)
    }

    /// Whether somebody asked.
    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until somebody asked.
    pub(crate) async fn asked(&self) {
        self.times(1).await;
    }

    /// Waits until somebody asked twice.
    pub(crate) async fn at_once(&self) {
        self.times(2).await;
    }

    async fn times(&self, times: u32) {
        let mut asked = self.0.clone();
        if asked.wait_for(|asked| *asked >= times).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
