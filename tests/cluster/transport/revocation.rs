//! Certificates that are taken back, on real clusters: who held them is put out, nobody else notices, and no node restarts.
//!
//! The lists come from `rejoin cert revoke`, and are copied as an operator would.

use super::*;
use rejoin::client::TlsFiles;
use rejoin::security::revocation::RevocationList;

impl Registry {
    /// Takes something back; the list is in the authorities' folder.
    async fn revoke(&self, which: &[&str]) -> String {
        let authority = self.path("authority").display().to_string();
        let command = ["cert", "revoke", "--authority", &authority];
        let output = succeeds(&[&command, which].concat()).await;
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The serial numbers on a list.
    fn listed(&self, file: &str) -> Vec<String> {
        let lists = RevocationList::all(self.text(file).as_bytes()).expect("a list");
        lists[0].serials().map(hex::encode).collect()
    }
}

impl Secured {
    /// Gives a list to a node, and waits until it is in force.
    async fn spread(&self, list: &str, place: usize) {
        let before = self.log(place).matches("new certificates").count();
        let text = self.registry.text(&format!("authority/{list}"));
        let file = self.registry.path(&format!("n{}/{list}", place + 1));
        replace(&file, &text);
        self.hang_up(place);
        until("the list is taken", async || {
            self.log(place).matches("new certificates").count() > before
        })
        .await;
    }

    fn processes(&self) -> Vec<Option<u32>> {
        (0..self.count)
            .map(|place| self.cluster.process(place))
            .collect()
    }
}

/// Nodes that ask who their callers are, and have a bucket.
async fn with_notes() -> Secured {
    let stage = Secured::asking().await;
    let node = stage.node(0).await;
    node.create("notes", proto::Properties::default()).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_is_cut_off_and_refused_while_another_is_served_by_the_same_processes() {
    let stage = Secured::asking().await;
    let operator = stage.node(0).await;
    operator.create("notes", proto::Properties::default()).await;
    stage.registry.client("anna", "anna").await;
    let anna = stage.registry.shown_by("anna", "anna");
    let before = stage.processes();
    let held = stage.node_for(1, &anna).await;
    let put = held
        .try_put(putting("notes", "key", "while it is good"))
        .await;
    put.expect("she is known");
    let asked = proto::WatchRequest {
        bucket: "notes".to_owned(),
        ..proto::WatchRequest::default()
    };
    let watching = held.connection.kv().watch(Request::new(asked)).await;
    let mut watching = watching.expect("a watch").into_inner();
    stage.registry.revoke(&["--client", "anna"]).await;
    for place in 0..3 {
        stage.spread("client-ca.crl", place).await;
    }
    // What is open ends, and what is begun is refused.
    let ended = async { while let Ok(Some(_)) = watching.message().await {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the watch ends");
    stage.logs(1, "open connections end").await;
    until("her connection is no use any more", async || {
        let put = held.try_put(putting("notes", "key", "stolen")).await;
        put.is_err_and(|refused| refused.code() != Code::Ok)
    })
    .await;
    for place in 0..3 {
        let url = stage.cluster.url(place);
        let asked = async {
            let connection = Connection::secured(&url, REQUEST_TIMEOUT, Some(&anna)).await?;
            let put = connection.request(putting("notes", "key", "stolen"));
            connection.kv().put(put).await?;
            anyhow::Ok(())
        };
        assert!(asked.await.is_err(), "node {place} took her in");
        stage.logs(place, "its certificate is revoked").await;
    }
    operator.put("notes", "key", "from the operator").await;
    for place in 0..3 {
        let node = stage.node(place).await; // A new connection.
        assert!(texts(&node.get("notes", "key").await).contains(&"from the operator".to_owned()));
    }
    assert_eq!(stage.processes(), before);
    // Her next certificate is as good as anybody's.
    stage.registry.client("anna", "new-anna").await;
    let anna = stage.registry.shown_by("anna", "new-anna");
    let put = putting("notes", "key", "with the next one");
    let put = stage.node_for(2, &anna).await.try_put(put).await;
    put.expect("she is known again");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_reads_its_files_again_and_outlives_the_certificate_that_it_began_with() {
    let stage = with_notes().await;
    stage.registry.client("anna", "anna").await;
    let file = |name: &str| stage.registry.path(&format!("anna/{name}"));
    let tls = Tls::from_files(TlsFiles {
        authorities: file("client-ca.crt"),
        shown: Some((file("anna.crt"), file("anna.key"))),
    });
    let options = rejoin::client::Options {
        tls: Some(tls.expect("her files")),
        refresh_interval: Duration::from_millis(200),
        ..Default::default()
    };
    let client = Client::with_options([stage.cluster.url(0)], options).await;
    let notes = client.expect("the ring").bucket("notes");
    notes
        .put("key", "with the first")
        .await
        .expect("she is known");
    stage.registry.revoke(&["--client", "anna"]).await;
    stage.registry.client("anna", "new-anna").await;
    for end in ["key", "crt"] {
        let text = stage.registry.text(&format!("new-anna/anna.{end}"));
        replace(&file(&format!("anna.{end}")), &text);
    }
    for place in 0..3 {
        stage.spread("client-ca.crl", place).await;
    }
    until("she is served by her next certificate", async || {
        notes.put("key", "with the next").await.is_ok()
    })
    .await;
    for number in 0..10 {
        let put = notes.put(format!("key-{number}"), "with the next").await;
        put.expect("each node takes it");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_node_is_cut_off_from_its_peers_until_it_has_another_certificate() {
    let stage = Secured::of(3, 0).await;
    let nodes = stage.nodes().await;
    nodes[0].create("notes", proto::Properties::default()).await;
    let before = stage.processes();
    stage.registry.revoke(&["--node", "n3"]).await;
    // The third one is in the hands of somebody who takes no lists.
    for place in 0..2 {
        stage.spread("peer-ca.crl", place).await;
    }
    for node in &nodes[..2] {
        node.reaches(1).await;
    }
    nodes[2].reaches(0).await;
    stage.logs(0, "its certificate is revoked").await;
    stage.logs(0, "peer-refused").await;
    nodes[0]
        .try_put(putting("notes", "key", "of two"))
        .await
        .expect("two are enough");
    let name = "n3";
    stage.registry.node(name, "authority", "new-n3").await;
    for file in ["peer.key", "peer.crt"] {
        let text = stage.registry.text(&format!("new-n3/{name}.{file}"));
        replace(
            &stage.registry.path(&format!("{name}/{name}.{file}")),
            &text,
        );
    }
    stage.spread("peer-ca.crl", 2).await;
    stage.all_connected().await;
    assert_eq!(stage.processes(), before);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_revoked_certificate_does_not_join_and_with_the_list_does_not_start() {
    let mut stage = Secured::of(1, 1).await;
    stage.registry.revoke(&["--node", "n2"]).await;
    stage.spread("peer-ca.crl", 0).await;
    // As a thief has it: with the list that there was when the certificate was made.
    stage.cluster.start_node(1).await.expect("it starts");
    stage.logs(0, "its certificate is revoked").await;
    let members = stage.node(0).await.members().await.nodes;
    assert!(members.iter().all(|node| node.node != "n2"), "it was heard");
    stage.cluster.stop_node(1).await.expect("it stops");
    let list = stage.registry.text("authority/peer-ca.crl");
    replace(&stage.registry.path("n2/peer-ca.crl"), &list);
    assert!(stage.cluster.start_node(1).await.is_err());
    assert!(stage.log(1).contains("n2.peer.crt is revoked"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_list_leaves_the_one_before_in_force() {
    let stage = with_notes().await;
    stage.registry.client("anna", "anna").await;
    let anna = stage.registry.shown_by("anna", "anna");
    stage.registry.revoke(&["--client", "anna"]).await;
    stage.spread("client-ca.crl", 0).await;
    let file = stage.registry.path("n1/client-ca.crl");
    let foreign = stage.registry.text("authority/peer-ca.crl");
    for (number, broken) in ["nothing", &foreign].into_iter().enumerate() {
        replace(&file, broken);
        stage.hang_up(0);
        until("the error is logged", async || {
            let log = stage.log(0);
            let told = log.matches("the changed files of certificates are not used");
            told.count() > number
        })
        .await;
        let url = stage.cluster.url(0);
        let asked = async {
            let connection = Connection::secured(&url, REQUEST_TIMEOUT, Some(&anna)).await?;
            let put = connection.request(putting("notes", "key", "stolen"));
            connection.kv().put(put).await?;
            anyhow::Ok(())
        };
        assert!(asked.await.is_err());
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejoin_cert_revoke_finds_certificates_by_name_file_or_number_and_forgets_none() {
    let registry = Registry::new().await;
    assert!(registry.listed("authority/client-ca.crl").is_empty());
    registry.node("n1", "authority", "n1").await;
    registry.client("anna", "anna").await;
    registry.client("anna", "other-anna").await;
    registry.client("bert", "bert").await;
    let said = registry.revoke(&["--client", "anna"]).await;
    let clients = registry.listed("authority/client-ca.crl");
    assert_eq!(clients.len(), 2, "both of hers");
    assert!(clients.iter().all(|serial| said.contains(serial)), "{said}");
    assert!(said.contains("client-ca.crl") && !said.contains("peer-ca.crl"));
    assert!(registry.listed("authority/peer-ca.crl").is_empty());
    let file = registry.path("bert/bert.crt").display().to_string();
    registry.revoke(&["--certificate", &file]).await;
    assert_eq!(registry.listed("authority/client-ca.crl").len(), 3);
    registry.revoke(&["--node", "n1"]).await;
    assert_eq!(registry.listed("authority/client-ca.crl").len(), 4);
    assert_eq!(registry.listed("authority/peer-ca.crl").len(), 1);
    registry.revoke(&["--serial", "00:AB:CD"]).await;
    assert!(
        registry
            .listed("authority/peer-ca.crl")
            .contains(&"abcd".to_owned())
    );
    registry.revoke(&["--client", "anna"]).await;
    let all = registry.listed("authority/client-ca.crl");
    assert_eq!(all.len(), 5, "twice is once");
    assert!(clients.iter().all(|serial| all.contains(serial)));

    registry.found("strange").await;
    registry.node("n1", "strange", "strange-n1").await;
    let authority = registry.path("authority").display().to_string();
    let strange = registry.path("strange-n1/n1.crt").display().to_string();
    let refused = async |which: &[&str]| {
        let command = ["cert", "revoke", "--authority", &authority];
        fails(&[&command, which].concat()).await
    };
    let text = refused(&["--client", "nobody"]).await;
    assert!(text.contains("no certificate of client nobody"), "{text}");
    let text = refused(&["--certificate", &strange]).await;
    assert!(text.contains("was not signed by an authority in"), "{text}");
    let text = refused(&["--serial", "xyz"]).await;
    assert!(text.contains("hexadecimal digits"), "{text}");
    // A list of somebody else is not added to.
    let foreign = registry.text("strange/client-ca.crl");
    replace(&registry.path("authority/client-ca.crl"), &foreign);
    let text = refused(&["--client", "bert"]).await;
    assert!(text.contains("another authority has signed it"), "{text}");
}
