//! What the API does not take, and what it never does.

use super::document::documented;
use super::*;

#[tokio::test]
async fn garbage_is_refused_in_words() {
    let made = fabricate();
    answer_commands(made.commands);
    let site = Site::new(made.handle);
    let zeros = "0".repeat(64);
    for (path, template, status) in [
        (
            "/api/v1/blocks/999".to_owned(),
            "/api/v1/blocks/{block}",
            404,
        ),
        (
            format!("/api/v1/blocks/{zeros}"),
            "/api/v1/blocks/{block}",
            404,
        ),
        (
            "/api/v1/blocks/-1".to_owned(),
            "/api/v1/blocks/{block}",
            400,
        ),
        (
            "/api/v1/transactions/xyz".to_owned(),
            "/api/v1/transactions/{id}",
            400,
        ),
        (
            format!("/api/v1/transactions/{zeros}"),
            "/api/v1/transactions/{id}",
            404,
        ),
        (
            format!("/api/v1/elections/{zeros}"),
            "/api/v1/elections/{id}",
            404,
        ),
        (
            format!("/api/v1/elections/{zeros}/results"),
            "/api/v1/elections/{id}/results",
            404,
        ),
        ("/api/v1/mempool?after=1".to_owned(), "/api/v1/mempool", 400),
        ("/api/v1/blocks?limit=x".to_owned(), "/api/v1/blocks", 400),
        (
            "/api/v1/blocks/%ff".to_owned(),
            "/api/v1/blocks/{block}",
            400,
        ),
    ] {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        documented("get", template, &answer);
    }
    assert_eq!(site.get("/api/v2/status").await.status, 404);
    let json_type = "Content-Type: application/json\r\n";
    for (headers, body) in [
        (json_type, "{}"),
        (json_type, "{\"transactions\":[]}"),
        (json_type, "{\"transactions\":[\"zz\"]}"),
        (json_type, "{\"transactions\":[],\"more\":1}"),
        ("", "00"),
        ("", ""),
    ] {
        let answer = site.post(headers, body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        documented("post", "/api/v1/transactions", &answer);
    }
    let long = site.post("", &"0".repeat(MAX_BODY_BYTES + 1)).await;
    assert_eq!(long.error_code(), "too_large");
    let host = site.address;
    let wrong = site
        .send(format!(
            "DELETE /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ))
        .await;
    assert_eq!(wrong.error_code(), "method_not_allowed");
}

#[tokio::test]
async fn foreign_names_and_pages_are_kept_out() {
    let made = fabricate();
    answer_commands(made.commands);
    let site = Site::new(made.handle);
    let foreign =
        "GET /api/v1/status HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    let answer = site.send(foreign.to_owned()).await;
    assert_eq!(answer.status, 403);
    documented("get", "/api/v1/status", &answer);
    let hex = to_hex(&wire::encode(&made.waiting));
    let answer = site.post("Origin: http://evil.example\r\n", &hex).await;
    assert_eq!(answer.error_code(), "forbidden");
    let own = format!("Origin: http://{}\r\n", site.address);
    assert_eq!(site.post(&own, &hex).await.status, 200);
}

/// Takes every command and writes down its name.
fn note_commands(mut commands: tokio::sync::mpsc::Receiver<Command>) -> Arc<Mutex<Vec<String>>> {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let notes = noted.clone();
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            let name = format!("{command:?}");
            let name = name.split([' ', '{']).next().unwrap_or_default();
            notes.lock().unwrap().push(name.to_owned());
            match command {
                Command::Peers { reply } => drop(reply.send(Vec::new())),
                Command::Submit { reply, .. } => drop(reply.send(vec![Outcome::Accepted {}])),
                _ => {}
            }
        }
    });
    noted
}

#[tokio::test]
async fn whatever_the_method_and_the_path_nothing_but_a_submission_changes_the_node() {
    let made = fabricate();
    let noted = note_commands(made.commands);
    let site = Site::new(made.handle);
    let body = to_hex(&wire::encode(&made.waiting));
    let id = made.registration.to_string();
    let mut paths: BTreeSet<String> = routes()
        .into_iter()
        .map(|(_, path, _)| {
            path.replace("{block}", "1")
                .replace("{number}", "1")
                .replace("{id}", &id)
        })
        .collect();
    // What only the control socket does.
    paths.extend(["ban", "unban", "release-pin", "stop", "export"].map(|name| format!("/{name}")));
    paths.extend(["ban", "stop"].map(|name| format!("/api/v1/{name}")));
    let request = |method: &str, path: &str, host: &str, origin: &str| {
        let length = body.len();
        site.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{origin}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    };
    let own = site.address.to_string();
    let evil = "Origin: http://evil.example\r\n";
    let mut taken = BTreeSet::new();
    for path in &paths {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW",
        ] {
            let asked = format!("{method} {path}");
            let rebound = request(method, path, "rebound.example", "").await;
            assert_eq!(rebound.status, 403, "{asked}");
            let reads = matches!(method, "GET" | "HEAD");
            if !reads {
                let foreign = request(method, path, &own, evil).await;
                assert_eq!(foreign.status, 403, "{asked}");
            }
            assert_eq!(*noted.lock().unwrap(), [""; 0], "{asked}");
            let answer = request(method, path, &own, if reads { evil } else { "" }).await;
            assert!(!answer.head.contains("access-control"), "{asked}");
            let commands = std::mem::take(&mut *noted.lock().unwrap());
            for command in commands {
                taken.insert(format!("{asked}: {command}"));
            }
        }
    }
    taken.retain(|command| !command.ends_with(": Peers"));
    assert_eq!(
        taken,
        BTreeSet::from(["POST /api/v1/transactions: Submit".to_owned()])
    );
}
