//! What else peers ask and answer: the undoing of merges, single records, plugins, listings. The first byte says which.

use super::bytes_of;
use bytes::Bytes;
use prost::Message;
use rejoin::dynamo::bucket::activation::Blame;
use rejoin::dynamo::coordinator::unmerge::Effort;
use rejoin::dynamo::names::Digest;
use rejoin::limits::versions::{BINDINGS_REMEMBERED_MAX, UNMERGE_KEYS_MAX};
use rejoin::wire::proto::peer as proto;
use rejoin::wire::{inspection, unmerging};

pub fn run(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    match kind % 5 {
        0 => {
            let Some(request) = read::<proto::UnmergeRequest>(body) else {
                return;
            };
            let Ok(requests) = unmerging::decode_request(request) else {
                return;
            };
            assert!(requests.len() <= UNMERGE_KEYS_MAX);
            for request in requests {
                assert!(request.blame.digests.len() <= BINDINGS_REMEMBERED_MAX + 1);
            }
        }
        1 => {
            let Some(response) = read::<proto::UnmergeResponse>(body) else {
                return;
            };
            for outcome in response.outcomes {
                let outcome = unmerging::decode_outcome(outcome);
                let again = unmerging::encode_outcome(outcome.clone());
                assert_eq!(unmerging::decode_outcome(again), outcome);
            }
        }
        2 => {
            if let Some(Ok(key)) = read(body).map(inspection::decode_request) {
                let again = inspection::decode_request(inspection::encode_request(&key));
                assert_eq!(again.ok(), Some(key));
            }
        }
        3 => {
            if let Some(Ok(held)) = read(body).map(inspection::decode) {
                let again = inspection::decode(inspection::encode(held.clone()));
                assert_eq!(again.ok(), Some(held));
            }
        }
        _ => {
            // They have no form but protobuf's; a frame is taken apart by the other targets.
            read::<proto::Frame>(body);
            read::<proto::FetchPluginRequest>(body);
            read::<proto::PluginChunk>(body);
            read::<proto::StagePluginRequest>(body);
            read::<proto::StagePluginResponse>(body);
            read::<proto::ListOwnRequest>(body);
            read::<proto::ListOwnResponse>(body);
            read::<proto::ShadowReportRequest>(body);
            read::<proto::ShadowReportResponse>(body);
        }
    }
}

/// The message, which travels again as the same.
fn read<M: Message + Default + PartialEq>(body: &[u8]) -> Option<M> {
    let message = M::decode(body).ok()?;
    let again = M::decode(&message.encode_to_vec()[..]).expect("ours can be read");
    // Equal by their bytes: a number that is none is not equal to itself.
    assert_eq!(again.encoded_len(), message.encoded_len());
    Some(message)
}

pub fn seeds() -> Vec<Vec<u8>> {
    let blame = Blame {
        digests: [Some(Digest([5; 32]))].into_iter().flatten().collect(),
        epochs: [3].into(),
    };
    let keys = [Bytes::from("k"), Bytes::from("l")];
    let unmerge = unmerging::encode_request(&bytes_of::bucket(), &keys, &blame, Effort::Best);
    let outcomes = [
        unmerging::Outcome::Rewritten { is_whole: false },
        unmerging::Outcome::Failed("it is busy".to_owned()),
    ];
    let unmerged = proto::UnmergeResponse {
        outcomes: outcomes.map(unmerging::encode_outcome).into(),
    };
    let inspect = inspection::encode_request(&bytes_of::key("k"));
    let hints = vec![(bytes_of::node("b"), bytes_of::object())];
    let held = (
        bytes_of::object(),
        vec![bytes_of::replaced()],
        "9.1".to_owned(),
        hints,
    );
    let inspected = inspection::encode(held);
    let frame = proto::Frame {
        gossip: vec![Bytes::from("\x01n\x00")],
        ..proto::Frame::default()
    };
    [
        unmerge.encode_to_vec(),
        unmerged.encode_to_vec(),
        inspect.encode_to_vec(),
        inspected.encode_to_vec(),
        frame.encode_to_vec(),
    ]
    .into_iter()
    .zip(0..)
    .map(|(body, kind)| [&[kind][..], &body].concat())
    .collect()
}
