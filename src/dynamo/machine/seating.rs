//! Who is asked for a put, when it is admitted and again when it is stored (Dynamo 4.5, 4.6).
//!
//! Sends nothing. Between the two a guest may have taken a while, and a partition may have changed hands.
//!
//! Invariant: what is stored goes to those who own the key then.

use super::super::bucket::Properties;
use super::super::coordinator::durable::Durable;
use super::super::coordinator::panel::Panel;
use super::super::coordinator::quorum::Needed;
use super::super::coordinator::request::PutRequest;
use super::super::names::Ticket;
use super::super::replica::layout::Place;
use super::super::replica::storage::Storage;
use super::super::ring::placement::Seats;
use super::router::Machine;

impl<S: Storage> Machine<S> {
    /// Who is asked for a put that this node coordinates in this place.
    pub(super) fn panel(
        &self,
        request: &PutRequest,
        properties: &Properties,
        seats: Seats,
        place: &Place,
    ) -> Panel {
        let needed = needed(request, properties);
        let asked = (request.dw, request.ack);
        let durable = Durable::of(asked, properties, needed.answers, &self.me);
        let panel =
            Panel::new(seats, |node| self.is_unlikely(node, request), needed).with_durable(durable);
        match place {
            Place::Hint(home) => panel.led_by(&self.me, home),
            Place::Home => panel,
        }
    }

    /// Draws the panel of a put again if the owners have changed since: its guest took a while, and who owns the key
    /// now has to get the write. `false` if this node may no longer make its dot.
    pub(super) fn is_still_seated(&mut self, ticket: Ticket) -> bool {
        let hash = self.view.placement.hash();
        let Some(put) = self.desk.put(ticket) else {
            return false;
        };
        if put.drawn_by(hash) {
            return true;
        }
        let (request, place) = (put.request.clone(), put.place().clone());
        let Some(properties) = self.view.properties(&request.key) else {
            return true; // A bucket that was removed meanwhile is for those to notice who store.
        };
        let seats = self.view.seats(&request.key, properties.n);
        let is_primary = seats.primaries.contains(&self.me);
        let is_seated = match &place {
            Place::Home => is_primary,
            Place::Hint(home) => !is_primary && seats.primaries.contains(home),
        };
        if is_seated {
            let panel = self.panel(&request, &properties, seats, &place);
            if let Some(put) = self.desk.put(ticket) {
                put.redraw(panel, hash);
            }
        }
        is_seated
    }
}

/// Whose acknowledgements a put waits for.
pub(super) fn needed(request: &PutRequest, properties: &Properties) -> Needed {
    Needed {
        answers: request.w.unwrap_or(properties.w),
        primaries: request.pw.unwrap_or(properties.pw),
    }
}
