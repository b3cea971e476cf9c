//! Messages of peers about keys.

use super::bytes_of;
use prost::Message as _;
use rejoin::wire::peer::{decode, encode};
use rejoin::wire::proto::peer::Envelope;

pub fn run(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(bytes) else {
        return;
    };
    let Ok(message) = decode(envelope) else {
        return;
    };
    message.place();
    let sent = encode(&message).encode_to_vec();
    let arrived = Envelope::decode(&sent[..]).expect("ours can be read");
    let again = decode(arrived).expect("ours is believed");
    assert_eq!(again, message, "what was read is what is written");
}

pub fn seeds() -> Vec<Vec<u8>> {
    bytes_of::envelopes()
}
