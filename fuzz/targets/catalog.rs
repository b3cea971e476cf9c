//! Catalogs as a data folder, a peer or a backup holds them.

use super::bytes_of;
use bytes::Bytes;
use rejoin::dynamo::metadata::catalog::Catalog;
use rejoin::dynamo::ring::placement::Placement;

pub fn run(bytes: &[u8]) {
    let Ok(catalog) = Catalog::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let encoded = catalog.encode();
    let again = Catalog::decode(encoded.clone()).expect("ours can be read");
    assert_eq!(again, catalog, "what was read is what is written");
    assert_eq!(again.encode(), encoded);
    catalog.bucket_table();
    catalog.removed_buckets();
    if let Some(change) = catalog.change()
        && let Ok(placement) = Placement::new(change, catalog.progress())
    {
        for partition in placement.partitions().all() {
            placement.seats(partition, 3);
            placement.duties(partition, 3);
        }
    }
    let ours = bytes_of::catalog();
    let merged = [(&catalog, &ours), (&ours, &catalog)].map(|(one, other)| {
        let mut merged = one.clone();
        merged.merge(other.clone()).map(|_| merged)
    });
    if let [Ok(one), Ok(other)] = merged {
        assert_eq!(one.encode(), other.encode(), "the order does not matter");
        let mut twice = one.clone();
        assert_eq!(
            twice.merge(other),
            Ok(false),
            "merging again changes nothing"
        );
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        bytes_of::catalog().encode().to_vec(),
        Catalog::default().encode().to_vec(),
    ]
}
