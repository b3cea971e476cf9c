//! Files of counterexamples, which travel by mail: read, written again, and replayed with a plugin that answers anything.

use rejoin::dynamo::names::Digest;
use rejoin::dynamo::reconcile::answer::{Answer, Judgement, Resolution};
use rejoin::dynamo::reconcile::question::{Ask, Question};
use rejoin::wasm::laws::evidence::Evidence;
use rejoin::wasm::laws::examiner::Guests;

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(evidence) = Evidence::from_json(text) else {
        return;
    };
    let again = Evidence::from_json(&evidence.to_json());
    assert_eq!(
        again.as_ref(),
        Ok(&evidence),
        "what was read is what is written"
    );
    let _ = evidence.replay(&Longest, Digest([5; 32]));
    let _ = (evidence.law(), evidence.digest());
}

/// Picks the longest sibling, and accepts every value that is not empty.
struct Longest;

impl Guests for Longest {
    fn ask(&self, question: &Question) -> Answer {
        match &question.ask {
            Ask::Resolve(siblings) => {
                let length = |place: &usize| siblings[*place].bytes().map(bytes::Bytes::len);
                let longest = (0..siblings.len()).max_by_key(length).unwrap_or(0);
                Answer::Resolved {
                    resolution: Resolution::Pick(longest as u32),
                    fuel: 5,
                }
            }
            Ask::Validate(version) => {
                let is_empty = version.bytes().is_none_or(bytes::Bytes::is_empty);
                let judgement = match is_empty {
                    false => Judgement::Accepted,
                    true => Judgement::Refused {
                        code: "EMPTY".to_owned(),
                        message: "say something".to_owned(),
                    },
                };
                Answer::Judged { judgement, fuel: 5 }
            }
        }
    }
}

/// A file for each law; the siblings say nothing of it.
pub fn seeds() -> Vec<Vec<u8>> {
    let laws = [
        "deterministic",
        "total",
        "commutative",
        "idempotent",
        "absorbing",
        "associative",
        "acceptable",
        "convergent",
        "judging",
    ];
    laws.map(|law| file(law).into_bytes()).into()
}

fn file(law: &str) -> String {
    let plugin = "05".repeat(32);
    format!(
        r#"{{"format":"rejoin-evidence/1","plugin":"{plugin}","law":"{law}","origin":"sample 1","key":"k","params":{{"base64":"AP8="}},"fuel":1000000,"value_bytes_max":1048576,"validator":{{"plugin":"{plugin}","params":"","fuel":1000}},"siblings":[{{"value":"a","content_type":"text/plain","metadata":{{"m":"n"}},"written_at_ms":5}},{{"value":{{"base64":"AP8="}}}},{{"value":"bb"}}],"expected":{{"value":{{"value":"a"}}}},"got":{{"priced":{{"outcome":{{"deleted":{{"written_at_ms":3}}}},"fuel":7}}}}}}"#
    )
}
