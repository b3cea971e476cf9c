//! The bodies of all requests of `rejoin.v1`, and what the wire makes of them. The first byte says which.

use super::bytes_of;
use bytes::Bytes;
use prost::Message;
use rejoin::limits::{KEY_BYTES_MAX, PAGE_KEYS_MAX, VALUE_BYTES_MAX};
use rejoin::wire::proto::v1 as proto;
use rejoin::wire::{bucket, key_value, keys, watch};

/// A request's body: read as whatever the place says, and handed to what reads it further.
const READERS: &[fn(&[u8])] = &[
    get,
    put,
    delete,
    list_keys,
    watch_changes,
    create,
    dry_run,
    read::<proto::DescribeBucketRequest>,
    read::<proto::RemoveBucketRequest>,
    read::<proto::ListConflictsRequest>,
    read::<proto::PushRequest>,
    read::<proto::PluginStatsRequest>,
    read::<proto::PluginLogsRequest>,
    read::<proto::ActivateRequest>,
    read::<proto::RollbackRequest>,
    read::<proto::PauseRequest>,
    read::<proto::UnmergeRequest>,
    read::<proto::ShadowRequest>,
    read::<proto::ShadowReportRequest>,
    read::<proto::PreferenceListRequest>,
    read::<proto::LocalRecordRequest>,
    read::<proto::SetPolicyRequest>,
    read::<proto::ChangeRequest>,
    read::<proto::AntiEntropyRequest>,
    read::<proto::ReapRequest>,
    read::<proto::ExplainRequest>,
    read::<proto::ScrubRequest>,
    read::<proto::ReadRequest>,
    read::<proto::ReadPluginRequest>,
    read::<proto::RecordPiece>,
];

pub fn run(bytes: &[u8]) {
    if let Some((kind, body)) = bytes.split_first() {
        READERS[usize::from(*kind) % READERS.len()](body);
    }
}

fn decoded<M: Message + Default>(body: &[u8]) -> Option<M> {
    let message = M::decode(body).ok()?;
    let again = M::decode(&message.encode_to_vec()[..]).expect("ours can be read");
    assert_eq!(again.encoded_len(), message.encoded_len());
    Some(message)
}

fn read<M: Message + Default>(body: &[u8]) {
    decoded::<M>(body);
}

fn get(body: &[u8]) {
    if let Some(Ok(request)) = decoded(body).map(key_value::decode_get) {
        assert!((1..=KEY_BYTES_MAX).contains(&request.key.bytes().len()));
    }
}

fn put(body: &[u8]) {
    let Some(request) = decoded::<proto::PutRequest>(body) else {
        return;
    };
    let _ = key_value::decode_condition(request.condition);
    if let Ok(request) = key_value::decode_put(request) {
        assert!(
            request
                .version
                .bytes()
                .is_some_and(|value| value.len() <= VALUE_BYTES_MAX)
        );
        assert!(
            request.version.merged_by.is_none(),
            "no client says who merged"
        );
        request
            .version
            .check(VALUE_BYTES_MAX)
            .expect("it was checked");
    }
}

fn delete(body: &[u8]) {
    if let Some(Ok(request)) = decoded(body).map(key_value::decode_delete) {
        assert!(request.version.is_tombstone());
    }
}

fn list_keys(body: &[u8]) {
    let Some(request) = decoded(body) else {
        return;
    };
    if let Ok(page) = keys::decode_page(request, bytes_of::partitions()) {
        assert!((1..=PAGE_KEYS_MAX).contains(&page.keys_max));
        assert!(page.from.partition.0 < bytes_of::partitions().count());
    }
}

fn watch_changes(body: &[u8]) {
    if let Some(request) = decoded::<proto::WatchRequest>(body) {
        let _ = watch::Position::decode(request.position);
    }
}

fn create(body: &[u8]) {
    let Some(request) = decoded::<proto::CreateBucketRequest>(body) else {
        return;
    };
    let Ok(properties) = bucket::decode(request.properties.unwrap_or_default()) else {
        return;
    };
    properties.check().expect("they were checked");
    let again = bucket::decode(bucket::encode(&properties));
    assert_eq!(
        again.ok().as_ref(),
        Some(&properties),
        "what is described can be asked for"
    );
}

fn dry_run(body: &[u8]) {
    let Some(request) = decoded::<proto::DryRunRequest>(body) else {
        return;
    };
    if let Some(validator) = &request.validator {
        let _ = bucket::decode_validator(validator);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let key = Bytes::from("k");
    let carts = || "carts".to_owned();
    let context = bytes_of::context().encode(&bytes_of::key("k"));
    let binding = proto::Binding {
        plugin: "5".repeat(64),
        params: Bytes::from("{}"),
        fuel: 1_000_000,
    };
    let properties = proto::Properties {
        n: Some(3),
        r: Some(2),
        w: Some(2),
        pr: Some(1),
        resolver: Some(binding.clone()),
        validator: Some(binding.clone()),
        merge_on_put: Some(true),
        ttl_ms: Some(60_000),
        value_bytes_max: Some(1_000),
        value_bytes_warn: Some(900),
        ..proto::Properties::default()
    };
    let put = proto::PutRequest {
        bucket: carts(),
        key: key.clone(),
        value: Bytes::from("milk"),
        context: context.clone(),
        w: Some(2),
        content_type: "text/plain".to_owned(),
        metadata: [("colour".to_owned(), "red".to_owned())].into(),
        ttl_ms: Some(1_000),
        condition: 2,
        ..proto::PutRequest::default()
    };
    let delete = proto::DeleteRequest {
        bucket: carts(),
        key: key.clone(),
        context,
        ..proto::DeleteRequest::default()
    };
    let get = proto::GetRequest {
        bucket: carts(),
        key,
        r: Some(2),
        pr: Some(1),
        with_siblings: true,
    };
    let list = proto::ListKeysRequest {
        bucket: carts(),
        page_size: Some(10),
        ..proto::ListKeysRequest::default()
    };
    let watch = proto::WatchRequest {
        bucket: carts(),
        position: watch::Position(vec![(7, 3)]).encode(),
    };
    let create = proto::CreateBucketRequest {
        bucket: carts(),
        properties: Some(properties),
        replace: true,
    };
    let dry_run = proto::DryRunRequest {
        bucket: carts(),
        validator: Some(binding),
        ..proto::DryRunRequest::default()
    };
    [
        get.encode_to_vec(),
        put.encode_to_vec(),
        delete.encode_to_vec(),
        list.encode_to_vec(),
        watch.encode_to_vec(),
        create.encode_to_vec(),
        dry_run.encode_to_vec(),
    ]
    .into_iter()
    .zip(0..)
    .map(|(body, kind)| [&[kind][..], &body].concat())
    .collect()
}
