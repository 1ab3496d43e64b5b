//! Which request an answer belongs to, on one connection.

use std::collections::VecDeque;

use super::frames::RequestHead;

/// The requests of a connection that have no answer yet, oldest first. Brokers answer in order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: VecDeque<RequestHead>,
}

impl Ledger {
    /// A request went to the broker, with this head before anybody harmed it.
    pub(super) fn asked(&mut self, head: RequestHead) {
        self.open.push_back(head);
    }

    /// An answer came. Requests before its own have none: Produce with acks=0. An id that nobody asked with is that of
    /// a request that was harmed on its way: the oldest.
    pub(super) fn answered(&mut self, correlation_id: Option<i32>) -> Option<RequestHead> {
        let own = self.open.iter().position(|head| Some(head.correlation_id) == correlation_id);
        self.open.drain(..own.unwrap_or(0));
        self.open.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(api_key: i16, correlation_id: i32) -> RequestHead {
        RequestHead { api_key, api_version: 0, correlation_id }
    }

    #[test]
    fn answers_find_their_requests() {
        let mut ledger = Ledger::default();
        for (api_key, id) in [(18, 1), (0, 2), (0, 3), (3, 4), (1, 5)] {
            ledger.asked(head(api_key, id));
        }
        assert_eq!(ledger.answered(Some(1)), Some(head(18, 1)));
        // Two without an answer, then one under another name.
        assert_eq!(ledger.answered(Some(4)), Some(head(3, 4)));
        assert_eq!(ledger.answered(Some(77)), Some(head(1, 5)));
        assert_eq!(ledger.answered(Some(5)), None);
        assert_eq!(ledger.answered(None), None);
    }
}
