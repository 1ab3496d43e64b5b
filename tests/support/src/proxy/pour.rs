//! Task: writes bytes as slowly as a verdict says.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;
use tokio::time::sleep;

use super::rules::Verdict;

/// Writes a second at a limited rate: few enough that timers of a millisecond keep it, enough for it to be smooth.
const WRITES_PER_SECOND: u32 = 50;

pub(super) async fn pour(to: &mut WriteHalf<'_>, bytes: &[u8], verdict: &Verdict) -> io::Result<()> {
    for piece in bytes.chunks(piece_len(verdict)) {
        to.write_all(piece).await?;
        match pause(piece.len(), verdict) {
            // Without a pause bytes would still be gathered into one packet by a loop that never yields.
            Duration::ZERO => tokio::task::yield_now().await,
            pause => sleep(pause).await,
        }
    }
    Ok(())
}

fn piece_len(verdict: &Verdict) -> usize {
    match (verdict.one_byte, verdict.bytes_per_second) {
        (Some(_), _) => 1,
        (None, Some(rate)) => usize::try_from(rate / WRITES_PER_SECOND).unwrap_or(usize::MAX).max(1),
        (None, None) => usize::MAX,
    }
}

fn pause(len: usize, verdict: &Verdict) -> Duration {
    let by_rate = verdict.bytes_per_second.map_or(Duration::ZERO, |rate| {
        Duration::from_secs(1) / rate * u32::try_from(len).unwrap_or(u32::MAX)
    });
    by_rate + verdict.one_byte.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_and_pauses_make_the_rate() {
        let slow = Verdict { bytes_per_second: Some(64_000), ..Verdict::default() };
        assert_eq!((piece_len(&slow), pause(1280, &slow)), (1280, Duration::from_millis(20)));
        let crawl = Verdict { bytes_per_second: Some(1), ..Verdict::default() };
        assert_eq!((piece_len(&crawl), pause(1, &crawl)), (1, Duration::from_secs(1)));
        let drops = Verdict { one_byte: Some(Duration::from_millis(2)), ..Verdict::default() };
        assert_eq!((piece_len(&drops), pause(1, &drops)), (1, Duration::from_millis(2)));
        assert_eq!(pause(100, &Verdict::default()), Duration::ZERO);
    }
}
