//! A finaliser's data from before, put back.

use super::*;

/// A copy of a directory, with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The data of a running finaliser is copied while it waits for a proposal, it signs something, and the copy is put back.
#[test]
fn a_copy_of_a_running_finalisers_data_does_not_make_it_sign_twice() {
    let scene = Scene::new();
    let mut club = Club::start(&scene);
    let network = genesis::read(&club.network)
        .unwrap()
        .network_id()
        .to_string();
    club.voter(&scene, "person0").does(&["register"]);
    let (mut people, mut tries) = (1, 0);
    let (victim, copied, open) = loop {
        tries += 1;
        assert!(tries < 20, "the copy always came too late");
        let open = club.until_all_is_final() + 1;
        // Whoever proposes would sign at once.
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by_key(|index| public(&club.keys[*index]));
        let proposer = order[(open % 4) as usize];
        let victim = order[((open + 1) % 4) as usize];
        for index in (0..4).filter(|index| *index != victim) {
            club.finalisers[index].kill();
        }
        let person = club.voter(&scene, &format!("person{people}"));
        person.does(&["register", "--until", "included"]);
        people += 1;
        club.finalisers[victim].until_roll(people);
        let state = state_of(&club.keys[victim]);
        let process = club.finalisers[victim].process();
        process.signal("STOP");
        let copied = scene.path(&format!("copy{tries}"));
        let early = signed_for(&state, &network) < open;
        copy(&club.finalisers[victim].data_dir(), &copied);
        club.finalisers[victim].process().signal("CONT");
        if early {
            until("a signature", || {
                let signed = signed_for(&state, &network);
                (signed == open).then_some(()).ok_or(signed.to_string())
            });
            club.finalisers[victim].kill();
            // What it was to vote for comes now.
            club.finalisers[proposer].again();
            break (victim, copied, open);
        }
        for index in (0..4).filter(|index| *index != victim) {
            club.finalisers[index].again();
        }
    };
    let data = club.finalisers[victim].data_dir();
    fs::remove_dir_all(&data).unwrap();
    copy(&copied, &data);
    let before = fs::read(state_of(&club.keys[victim])).unwrap();
    club.finalisers[victim].again();
    let silent = format!("signs nothing up to checkpoint {open}");
    club.finalisers[victim].until("it to be silent", |status| {
        status["finality"]["waiting"]
            .as_str()
            .is_some_and(|why| why.contains(&silent))
    });
    let log = club.finalisers[victim].log();
    assert!(
        log.contains("this store is older than what this finaliser has signed"),
        "{log}"
    );
    assert_eq!(fs::read(state_of(&club.keys[victim])).unwrap(), before);

    // The others decide, and it takes part from then on: another can go.
    let away = (0..4).filter(|index| *index != victim);
    let away: Vec<usize> = away.collect();
    for index in &away {
        if !club.finalisers[*index].runs() {
            club.finalisers[*index].again();
        }
    }
    assert!(club.until_all_is_final() >= open);
    club.finalisers[away[0]].kill();
    let person = club.voter(&scene, &format!("person{people}"));
    assert_eq!(person.does(&["register"])["state"], "final");
    people += 1;
    club.finalisers[away[0]].again();
    for node in club.nodes() {
        node.until_roll(people);
    }
    club.until_all_is_final();
    for node in club.nodes() {
        let log = node.log();
        assert!(!log.contains(CONVICTION), "{log}");
    }
    assert_eq!(club.chain(&scene).1, BTreeSet::new());
}
