//! Compares the compiled matcher with a simple reference implementation, on random Policies and requests.

use api::core_v1::{self, Device, Group, InlinePolicy, Policy, condition, policy::Spec};
use policy::{Effect, PolicySet, Reason, Request, Subject, Target, decide};

use crate::support::*;

const GROUPS: [&str; 3] = ["dev", "ops", "hr"];
const EMAILS: [&str; 3] = ["alice@example.com", "bob@example.com", ""];
const METHODS: [&str; 4] = ["GET", "PUT", "POST", "DELETE"];
const PATHS: [&str; 4] = ["/", "/public/a", "/admin", "/admin/users"];
const ENVIRONMENTS: [&str; 3] = ["prod", "test", ""];
const NAMES: [&str; 5] = ["a", "b", "x.a", "y.x.a", "c.b"];
const PORTS: [i32; 4] = [80, 443, 8080, 9000];

/// Number of requests that each set of Policies decides.
const REQUESTS: usize = 10;

/// Number of compared decisions. `POLICY_CASES` overrides it.
const DECISIONS: usize = 5_000;

/// A small seeded generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The properties of the request and the resources that conditions read.
struct World {
    email: &'static str,
    human: bool,
    groups: Vec<&'static str>,
    browser: bool,
    port: i32,
    method: &'static str,
    path: &'static str,
    environment: &'static str,
    anonymous: bool,
}

#[derive(Clone, Copy)]
enum Leaf {
    Email(&'static str, bool),
    Human(bool),
    InGroup(&'static str),
    HasGroup(&'static str),
    Browser,
    PortOver(i32),
    Method(&'static str, &'static str),
    PathStarts(&'static str),
    Environment(&'static str),
    GroupAt(usize, &'static str),
    /// Fails for one port (division by zero).
    Divides(i32),
    /// Fails if the Policy has no such attribute.
    Level(i32),
}

#[derive(Clone)]
enum Expr {
    Leaf(Leaf),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
}

#[derive(Clone)]
enum Cond {
    Always(bool),
    Match(Expr),
    Not(Expr),
    All(Vec<Cond>),
    Any(Vec<Cond>),
    None(Vec<Cond>),
}

struct Written {
    level: Option<i32>,
    disabled: bool,
    enforcement: Vec<(bool, Cond)>,
    rules: Vec<(Cond, Effect, i32)>,
}

/// The Policies that an owner attaches.
#[derive(Default)]
struct Attached {
    names: Vec<&'static str>,
    inline: Vec<Written>,
}

/// The result of a condition, or `None` if the evaluation fails.
type Truth = Option<bool>;

fn leaf(leaf: Leaf, world: &World, level: Option<i32>) -> Truth {
    let known = !world.anonymous;
    let groups: &[&str] = if known { &world.groups } else { &[] };
    Some(match leaf {
        Leaf::Email(email, negated) => ((if known { world.email } else { "" }) == email) != negated,
        Leaf::Human(human) => {
            let name = if known {
                world.human
            } else {
                return Some(false);
            };
            name == human
        }
        Leaf::InGroup(group) | Leaf::HasGroup(group) => groups.contains(&group),
        Leaf::Browser => known && world.browser,
        Leaf::PortOver(port) => world.port > port,
        Leaf::Method(a, b) => world.method == a || world.method == b,
        Leaf::PathStarts(prefix) => world.path.starts_with(prefix),
        Leaf::Environment(name) => world.environment == name,
        Leaf::GroupAt(index, group) => *groups.get(index)? == group,
        Leaf::Divides(port) => 1_i32.checked_div(world.port - port)? == 0,
        Leaf::Level(least) => level? >= least,
    })
}

fn truth(expr: &Expr, world: &World, level: Option<i32>) -> Truth {
    match expr {
        Expr::Leaf(inner) => leaf(*inner, world, level),
        Expr::Not(inner) => truth(inner, world, level).map(|value| !value),
        Expr::And(left, right) => both(
            [truth(left, world, level), truth(right, world, level)].into_iter(),
            false,
        ),
        Expr::Or(left, right) => both(
            [truth(left, world, level), truth(right, world, level)].into_iter(),
            true,
        ),
    }
}

/// Evaluates a disjunction if `decisive` is true, a conjunction if it is false. Errors count if no part decides.
fn both(parts: impl Iterator<Item = Truth>, decisive: bool) -> Truth {
    let parts: Vec<Truth> = parts.collect();
    if parts.contains(&Some(decisive)) {
        Some(decisive)
    } else if parts.contains(&None) {
        None
    } else {
        Some(!decisive)
    }
}

fn holds(cond: &Cond, world: &World, level: Option<i32>) -> Truth {
    let each = |parts: &[Cond]| -> Vec<Truth> {
        parts.iter().map(|part| holds(part, world, level)).collect()
    };
    match cond {
        Cond::Always(value) => Some(*value),
        Cond::Match(expr) => truth(expr, world, level),
        Cond::Not(expr) => truth(expr, world, level).map(|value| !value),
        Cond::All(parts) => both(each(parts).into_iter(), false),
        Cond::Any(parts) => both(each(parts).into_iter(), true),
        Cond::None(parts) => both(each(parts).into_iter(), true).map(|value| !value),
    }
}

fn takes_part(policy: &Written, world: &World) -> bool {
    let test = |wanted: bool| {
        policy
            .enforcement
            .iter()
            .filter(move |(enforce, _)| *enforce == wanted)
            .map(|(_, cond)| holds(cond, world, policy.level))
    };
    // An enforcement rule that fails must not exclude the rules of the Policy.
    test(true).any(|truth| truth != Some(false)) || !test(false).any(|truth| truth == Some(true))
}

/// The deciding rule: name of the Policy, index of the rule, effect, and whether its evaluation failed.
type Deciding = (String, usize, Effect, bool);

fn naive(
    named: &[(&'static str, Written)],
    owners: &[(&'static str, &Attached)],
    world: &World,
) -> Result<Option<Deciding>, String> {
    let mut policies: Vec<(String, &Written)> = Vec::new();
    let mut missing = None;
    for (owner, attached) in owners {
        for name in &attached.names {
            let mut name = *name;
            loop {
                match named.iter().find(|(known, _)| *known == name) {
                    Some((_, policy)) => {
                        if !policies.iter().any(|(known, _)| known == name) {
                            policies.push((name.to_owned(), policy));
                        }
                    }
                    None => missing = missing.or(Some(name.to_owned())),
                }
                match name.split_once('.') {
                    Some((_, parent)) => name = parent,
                    None => break,
                }
            }
        }
        for (index, policy) in attached.inline.iter().enumerate() {
            policies.push((format!("{owner}/inlinePolicies[{index}]"), policy));
        }
    }
    if let Some(missing) = missing {
        return Err(missing);
    }
    let mut rules: Vec<(i32, bool, &str, usize, &Written)> = Vec::new();
    for (name, policy) in &policies {
        if policy.disabled || !takes_part(policy, world) {
            continue;
        }
        for (index, (_, effect, priority)) in policy.rules.iter().enumerate() {
            rules.push((*priority, *effect == Effect::Allow, name, index, policy));
        }
    }
    // The sort is stable, so rules with the same priority and effect stay in order of attachment.
    rules.sort_by_key(|(priority, allows, ..)| (*priority, *allows));
    for (_, _, name, index, policy) in rules {
        let (cond, effect, _) = &policy.rules[index];
        let truth = holds(cond, world, policy.level);
        if truth == Some(true) || truth.is_none() && *effect == Effect::Deny {
            return Ok(Some((name.to_owned(), index, *effect, truth.is_none())));
        }
    }
    Ok(None)
}

fn random_leaf(random: &mut Random) -> Leaf {
    match random.below(12) {
        0 => Leaf::Email(random.pick(&EMAILS), random.one_in(2)),
        1 => Leaf::Human(random.one_in(2)),
        2 => Leaf::InGroup(random.pick(&GROUPS)),
        3 => Leaf::HasGroup(random.pick(&GROUPS)),
        4 => Leaf::Browser,
        5 => Leaf::PortOver(random.pick(&PORTS)),
        6 => Leaf::Method(random.pick(&METHODS), random.pick(&METHODS)),
        7 => Leaf::PathStarts(random.pick(&PATHS)),
        8 => Leaf::Environment(random.pick(&ENVIRONMENTS)),
        9 => Leaf::GroupAt(random.below(3), random.pick(&GROUPS)),
        10 => Leaf::Divides(random.pick(&PORTS)),
        _ => Leaf::Level(i32::try_from(random.below(4)).unwrap()),
    }
}

fn random_expr(random: &mut Random, depth: usize) -> Expr {
    if depth == 0 || !random.one_in(3) {
        return Expr::Leaf(random_leaf(random));
    }
    let inner = |random: &mut Random| Box::new(random_expr(random, depth - 1));
    match random.below(3) {
        0 => Expr::Not(inner(random)),
        1 => Expr::And(inner(random), inner(random)),
        _ => Expr::Or(inner(random), inner(random)),
    }
}

fn random_cond(random: &mut Random, depth: usize) -> Cond {
    if depth == 0 || !random.one_in(4) {
        return match random.below(8) {
            0 => Cond::Always(random.one_in(2)),
            1 | 2 => Cond::Not(random_expr(random, 2)),
            _ => Cond::Match(random_expr(random, 2)),
        };
    }
    let count = 1 + random.below(3);
    let parts = (0..count).map(|_| random_cond(random, depth - 1)).collect();
    match random.below(3) {
        0 => Cond::All(parts),
        1 => Cond::Any(parts),
        _ => Cond::None(parts),
    }
}

fn random_policy(random: &mut Random) -> Written {
    let enforcement = if random.one_in(4) { random.below(3) } else { 0 };
    Written {
        level: (!random.one_in(3)).then(|| i32::try_from(random.below(4)).unwrap()),
        disabled: random.one_in(12),
        enforcement: (0..enforcement)
            .map(|_| (random.one_in(2), random_cond(random, 1)))
            .collect(),
        rules: (0..random.below(4))
            .map(|_| {
                let effect = if random.one_in(2) {
                    Effect::Allow
                } else {
                    Effect::Deny
                };
                let priority = i32::try_from(random.below(9)).unwrap() - 4;
                (random_cond(random, 2), effect, priority)
            })
            .collect(),
    }
}

fn random_attached(random: &mut Random) -> Attached {
    let names = if random.one_in(2) { random.below(3) } else { 0 };
    let inline = usize::from(random.one_in(3));
    Attached {
        names: (0..names)
            .map(|_| {
                if random.one_in(60) {
                    "gone"
                } else {
                    random.pick(&NAMES)
                }
            })
            .collect(),
        inline: (0..inline).map(|_| random_policy(random)).collect(),
    }
}

fn source(expr: &Expr) -> String {
    match expr {
        Expr::Leaf(leaf) => match leaf {
            Leaf::Email(email, negated) => {
                let operator = if *negated { "!=" } else { "==" };
                format!("ctx.user.spec.email {operator} '{email}'")
            }
            Leaf::Human(human) => {
                let name = if *human { "HUMAN" } else { "WORKLOAD" };
                format!("ctx.user.spec.type == '{name}'")
            }
            Leaf::InGroup(group) => format!("'{group}' in ctx.user.spec.groups"),
            Leaf::HasGroup(group) => format!("ctx.groups.exists(g, g.metadata.name == '{group}')"),
            Leaf::Browser => "ctx.session.status.isBrowser".to_owned(),
            Leaf::PortOver(port) => format!("ctx.service.spec.port > {port}"),
            Leaf::Method(a, b) => format!("ctx.request.http.method in ['{a}', '{b}']"),
            Leaf::PathStarts(prefix) => format!("ctx.request.http.path.startsWith('{prefix}')"),
            Leaf::Environment(name) => format!("ctx.request.http.headers['x-env'] == '{name}'"),
            Leaf::GroupAt(index, group) => format!("ctx.user.spec.groups[{index}] == '{group}'"),
            Leaf::Divides(port) => format!("1 / (ctx.service.spec.port - {port}) == 0"),
            Leaf::Level(least) => format!("attrs.level >= {least}"),
        },
        Expr::Not(inner) => format!("!({})", source(inner)),
        Expr::And(left, right) => format!("({}) && ({})", source(left), source(right)),
        Expr::Or(left, right) => format!("({}) || ({})", source(left), source(right)),
    }
}

fn compiled(cond: &Cond) -> core_v1::Condition {
    let of = |parts: &[Cond]| parts.iter().map(compiled).collect();
    match cond {
        Cond::Always(value) => match_any(*value),
        Cond::Match(expr) => cel(&source(expr)),
        Cond::Not(expr) => core_v1::Condition {
            r#type: Some(condition::Type::Not(source(expr))),
        },
        Cond::All(parts) => all(of(parts)),
        Cond::Any(parts) => any(of(parts)),
        Cond::None(parts) => none(of(parts)),
    }
}

fn spec(policy: &Written) -> Spec {
    let rule = |(cond, effect, priority): &(Cond, Effect, i32)| {
        let condition = compiled(cond);
        prioritised(
            match effect {
                Effect::Allow => allow(condition),
                Effect::Deny => deny(condition),
            },
            *priority,
        )
    };
    Spec {
        rules: policy.rules.iter().map(rule).collect(),
        enforcement_rules: (policy.enforcement.iter())
            .map(|(wanted, cond)| {
                if *wanted {
                    enforce(compiled(cond))
                } else {
                    ignore(compiled(cond))
                }
            })
            .collect(),
        attrs: policy
            .level
            .map(|level| object([("level", number(f64::from(level)))])),
        is_disabled: policy.disabled,
        ..Spec::default()
    }
}

macro_rules! authorization {
    ($module:ident, $attached:expr $(, $($rest:tt)*)?) => {
        Some(core_v1::$module::spec::Authorization {
            policies: $attached.names.iter().map(|name| (*name).to_owned()).collect(),
            inline_policies: inline_policies(&$attached.inline),
            $($($rest)*)?
        })
    };
}

fn inline_policies(policies: &[Written]) -> Vec<InlinePolicy> {
    policies.iter().map(|policy| inline(spec(policy))).collect()
}

/// A Cluster of random Policies, and the attachments of each owner.
struct Cluster {
    named: Vec<(&'static str, Written)>,
    service: Attached,
    namespace: Attached,
    everywhere: Attached,
    user: Attached,
    groups: Vec<Attached>,
    session: Attached,
    device: Option<Attached>,
}

impl Cluster {
    fn random(random: &mut Random) -> Self {
        Self {
            named: NAMES.map(|name| (name, random_policy(random))).into(),
            service: random_attached(random),
            namespace: random_attached(random),
            everywhere: random_attached(random),
            user: random_attached(random),
            groups: GROUPS.map(|_| random_attached(random)).into(),
            session: random_attached(random),
            device: random.one_in(3).then(|| random_attached(random)),
        }
    }

    fn policies(&self) -> PolicySet {
        let named = self.named.iter();
        PolicySet::new(named.map(|(name, written)| -> Policy { policy(name, spec(written)) }))
    }

    fn target(&self, world: &World) -> Target {
        let mut service = service();
        let spec = service.spec.as_mut().unwrap();
        spec.port = world.port.cast_unsigned();
        spec.authorization = authorization!(service, self.service, ..Default::default());
        let mut namespace = namespace();
        namespace.spec = Some(core_v1::namespace::Spec {
            authorization: authorization!(namespace, self.namespace),
            ..Default::default()
        });
        let cluster = core_v1::ClusterConfig {
            metadata: named("cluster"),
            spec: Some(core_v1::cluster_config::Spec {
                authorization: authorization!(cluster_config, self.everywhere),
                ..Default::default()
            }),
            ..Default::default()
        };
        Target::new(&service, &namespace, Some(&cluster))
    }

    fn subject(&self, world: &World) -> Subject {
        let mut user = alice();
        let spec = user.spec.as_mut().unwrap();
        world.email.clone_into(&mut spec.email);
        spec.groups = world.groups.iter().map(|name| (*name).to_owned()).collect();
        spec.r#type = if world.human {
            core_v1::user::spec::Type::Human.into()
        } else {
            core_v1::user::spec::Type::Workload.into()
        };
        spec.authorization = authorization!(user, self.user);
        let groups: Vec<Group> = (self.own_groups(world))
            .map(|(name, attached)| Group {
                spec: Some(core_v1::group::Spec {
                    authorization: authorization!(group, attached),
                    ..Default::default()
                }),
                ..group(name)
            })
            .collect();
        let mut session = session();
        session.status.as_mut().unwrap().is_browser = world.browser;
        session.spec.as_mut().unwrap().authorization = authorization!(session, self.session);
        let device = self.device.as_ref().map(|attached| Device {
            metadata: named("laptop"),
            spec: Some(core_v1::device::Spec {
                authorization: authorization!(device, attached),
                ..Default::default()
            }),
            ..Device::default()
        });
        Subject::new(&user, &groups, &session, device.as_ref())
    }

    fn own_groups<'s>(
        &'s self,
        world: &'s World,
    ) -> impl Iterator<Item = (&'static str, &'s Attached)> {
        world.groups.iter().map(|name| {
            let index = GROUPS.iter().position(|known| known == name).unwrap();
            (*name, &self.groups[index])
        })
    }

    fn owners<'s>(&'s self, world: &'s World) -> Vec<(&'static str, &'s Attached)> {
        let mut owners = vec![
            ("api.default", &self.service),
            ("default", &self.namespace),
            ("cluster", &self.everywhere),
        ];
        if !world.anonymous {
            owners.push(("alice", &self.user));
            owners.extend(self.own_groups(world));
            owners.extend(self.device.as_ref().map(|attached| ("laptop", attached)));
            owners.push(("alice-abc123", &self.session));
        }
        owners
    }
}

fn random_world(random: &mut Random) -> World {
    let mut groups: Vec<&str> = GROUPS.into_iter().filter(|_| random.one_in(2)).collect();
    let shift = random.below(3).min(groups.len());
    groups.rotate_left(shift);
    World {
        email: random.pick(&EMAILS),
        human: random.one_in(2),
        groups,
        browser: random.one_in(2),
        port: random.pick(&PORTS),
        method: random.pick(&METHODS),
        path: random.pick(&PATHS),
        environment: random.pick(&ENVIRONMENTS),
        anonymous: random.one_in(8),
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "a variable requests the full run"
)]
fn c14_the_compiled_matcher_is_that_of_the_plain_one() {
    let wanted = std::env::var("POLICY_CASES").ok();
    let wanted = wanted.map_or(DECISIONS, |count| count.parse().unwrap());
    let mut random = Random(0x0c7e_1104);
    let mut seen = [0_usize; 4];
    for _ in 0..wanted.div_ceil(REQUESTS) {
        let cluster = Cluster::random(&mut random);
        let policies = cluster.policies();
        for _ in 0..REQUESTS {
            let world = random_world(&mut random);
            let headers = Pairs(vec![("x-env", world.environment)]);
            let request = Request {
                method: world.method,
                path: world.path,
                headers: &headers,
                ..request()
            };
            let subject = (!world.anonymous).then(|| cluster.subject(&world));
            let target = cluster.target(&world);
            let found = decide(&policies, subject.as_ref(), &target, &request, NOW);
            let expected = naive(&cluster.named, &cluster.owners(&world), &world);
            let kind = match (expected, &found.reason) {
                (Err(_), Reason::MissingPolicy { .. }) => 0,
                (Ok(None), Reason::NoMatch) => 1,
                (
                    Ok(Some((name, index, effect, failed))),
                    Reason::Rule {
                        policy,
                        rule,
                        effect: did,
                        error,
                    },
                ) => {
                    assert_eq!(**policy, *name);
                    assert_eq!(**rule, format!("rules[{index}]"));
                    assert_eq!((*did, error.is_some()), (effect, failed));
                    assert_eq!(found.allowed, effect == Effect::Allow);
                    if found.allowed { 3 } else { 2 }
                }
                (expected, reason) => panic!("wanted {expected:?}, found {reason:?}"),
            };
            assert!(found.allowed == (kind == 3));
            seen[kind] += 1;
        }
    }
    println!(
        "{} decisions: {} of a missing Policy, {} without a match, {} denied, {} allowed",
        seen.iter().sum::<usize>(),
        seen[0],
        seen[1],
        seen[2],
        seen[3]
    );
    // Each possible result occurs in at least 2 percent of the decisions.
    let least = seen.iter().sum::<usize>() / 50;
    assert!(seen.iter().all(|count| *count >= least), "{seen:?}");
}
