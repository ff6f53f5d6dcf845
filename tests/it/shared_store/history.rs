//! Clients that create, revoke and check at random while everything between them and the store fails
//! at random; and afterwards, what each of them saw.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Answer, BOUND, Fleet, Instance};
use crate::model::random::Random;
use crate::rig::process::Signal;
use crate::rig::proxy::Weather;

const CLIENTS: u64 = 16;
/// Of each seed: some four faults long.
const LENGTH: Duration = Duration::from_secs(5);
/// `DOORWARD_SEEDS=100 cargo test --test it shared_store::history` for the long run.
const SEEDS: u64 = 5;

/// What happened to one key, as its users saw it.
#[derive(Default)]
struct Story {
    text: String,
    id: String,
    /// From then on it is acknowledged to be revoked.
    revoked: Option<Instant>,
    /// Whether somebody has tried to revoke it, acknowledged or not.
    touched: bool,
}

struct Play<'f> {
    fleet: &'f Fleet,
    stories: Mutex<Vec<Story>>,
    over: AtomicBool,
}

/// A check that was allowed: which key, when it was asked.
type Allowed = (usize, Instant);

impl Play<'_> {
    fn client(&self, mut random: Random) -> (Vec<Allowed>, usize) {
        let (mut allowed, mut checks) = (Vec::new(), 0);
        while !self.over.load(Ordering::Relaxed) {
            let instance = &self.fleet.instances[random.below(self.fleet.instances.len())];
            match random.below(20) {
                0 => self.create(instance),
                1 => self.revoke(instance, &mut random),
                _ => {
                    let Some((index, text)) = self.pick(&mut random) else { continue };
                    let began = Instant::now();
                    let answer = instance.ask(&text);
                    checks += 1;
                    if answer == Answer::Allow {
                        allowed.push((index, began));
                    }
                    let late = began.elapsed();
                    assert!(late < Duration::from_secs(2), "a check took {late:?}");
                }
            }
        }
        (allowed, checks)
    }

    fn create(&self, instance: &Instance) {
        let reply = instance.admin("POST", "/consumers/carol/key-auth", &json!({}));
        // What was not acknowledged may be there; nobody knows its text.
        if reply.status == 201 || reply.status == 202 {
            let made = reply.json();
            let text = |name: &str| made[name].as_str().unwrap().to_owned();
            let story = Story { text: text("key"), id: text("id"), ..Story::default() };
            self.stories.lock().unwrap().push(story);
        }
    }

    fn revoke(&self, instance: &Instance, random: &mut Random) {
        let Some((index, _)) = self.pick(random) else { return };
        let id = {
            let mut stories = self.stories.lock().unwrap();
            stories[index].touched = true;
            stories[index].id.clone()
        };
        let reply = instance.admin("DELETE", &format!("/key-auths/{id}"), &Value::Null);
        if [204, 202].contains(&reply.status) {
            let mut stories = self.stories.lock().unwrap();
            stories[index].revoked.get_or_insert_with(Instant::now);
        }
    }

    fn pick(&self, random: &mut Random) -> Option<(usize, String)> {
        let stories = self.stories.lock().unwrap();
        let index = (!stories.is_empty()).then(|| random.below(stories.len()))?;
        Some((index, stories[index].text.clone()))
    }
}

#[test]
fn no_allow_starts_after_an_acknowledged_revocation_and_the_bound() {
    let seeds = std::env::var("DOORWARD_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut fleet = Fleet::new(2);
    fleet.key("carol");
    for seed in 0..seeds {
        run(&mut fleet, seed);
    }
}

fn run(fleet: &mut Fleet, seed: u64) {
    let mut redis_faults = Vec::new();
    let (stories, allowed, checks) = {
        let play = Play { fleet, stories: Mutex::default(), over: AtomicBool::new(false) };
        play.create(&play.fleet.instances[0]);
        let played: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (play, random) = (&play, Random(seed * CLIENTS + client));
                    scope.spawn(move || play.client(random))
                })
                .collect();
            redis_faults.extend(misfortune(play.fleet, Random(seed ^ 0xfa11), LENGTH));
            play.over.store(true, Ordering::Relaxed);
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let checks: usize = played.iter().map(|(_, checks)| checks).sum();
        let allowed: Vec<Allowed> = played.into_iter().flat_map(|(allowed, _)| allowed).collect();
        (play.stories.into_inner().unwrap(), allowed, checks)
    };
    for (index, began) in &allowed {
        if let Some(revoked) = stories[*index].revoked {
            let late = began.saturating_duration_since(revoked);
            assert!(late <= BOUND, "seed {seed}: allowed {late:?} after its revocation; {redis_faults:?}");
        }
    }
    // With fair weather everything is as was acknowledged.
    for instance in &fleet.instances {
        instance.proxy.set(Weather::Fair);
        instance.becomes_ready();
    }
    for story in &stories {
        for instance in &fleet.instances {
            match (story.revoked, story.touched) {
                (Some(_), _) => instance.comes_to_deny(&story.text, BOUND),
                (None, false) => _ = instance.becomes(Answer::Allow, &story.text, Duration::from_secs(5)),
                (None, true) => {}
            }
        }
    }
    let revoked = stories.iter().filter(|story| story.revoked.is_some()).count();
    println!(
        "seed {seed}: {checks} checks, {} allowed, {} keys, {revoked} revoked; {redis_faults:?}",
        allowed.len(),
        stories.len()
    );
    assert!(checks > 100 && !allowed.is_empty() && revoked > 0, "seed {seed} proves little");
}

/// One fault after the other, with a little fair weather between them.
fn misfortune(fleet: &Fleet, mut random: Random, length: Duration) -> Vec<String> {
    let began = Instant::now();
    let mut told = Vec::new();
    while began.elapsed() < length {
        let instance = &fleet.instances[random.below(fleet.instances.len())];
        let weather = [
            Weather::Slow(Duration::from_millis(50)),
            Weather::Hanging,
            Weather::AnswersLost,
            Weather::Cut,
            Weather::Garbage,
        ];
        let lasts = Duration::from_millis(100 + 100 * random.below(15) as u64);
        if random.below(4) == 0 {
            fleet.redis.signal(Signal::STOP).unwrap();
            thread::sleep(lasts);
            fleet.redis.signal(Signal::CONT).unwrap();
            told.push(format!("redis hung for {lasts:?}"));
        } else {
            let weather = weather[random.below(weather.len())];
            instance.proxy.set(weather);
            thread::sleep(lasts);
            instance.proxy.set(Weather::Fair);
            told.push(format!("{weather:?} for {lasts:?}"));
        }
        thread::sleep(Duration::from_millis(300));
    }
    told
}
