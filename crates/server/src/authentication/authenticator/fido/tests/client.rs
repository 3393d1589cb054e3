//! Clients that authenticate through a browser.

use super::*;

/// Returns the browser's response to the challenge that the page shows.
async fn proved(
    world: &World,
    key: &mut SoftwareAuthenticator,
    state: &str,
) -> Result<String, Error> {
    let asked = for_client(&world.ctx, state).await?;
    assert_eq!(asked.user, "alice");
    assert_eq!(asked.challenge.state, state);
    Ok(key.get(&asked.challenge.options, &Tampering::default()))
}

#[tokio::test]
async fn b10_a_client_is_raised_by_the_answer_to_its_own_challenge_and_no_other_is() {
    let world = World::new(Rules::default()).await;
    let alice = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&alice, &mut key).await.unwrap();
    let (client, other) = (world.client_of(&alice).await, world.client_of(&alice).await);
    let caller = Caller::default();
    let ctx = &world.ctx;
    let begun = begin_authentication(ctx, &client, None).await.unwrap();
    let response = proved(&world, &mut key, &begun.state).await.unwrap();
    for stranger in [&other, &alice] {
        let used = authenticate(ctx, stranger, &begun.state, &response, &caller).await;
        assert_eq!(reason(used), "webauthn_refused");
    }
    let raised = authenticate(ctx, &client, &begun.state, &response, &caller).await;
    let raised = raised.unwrap();
    assert!(session_facts(&raised).user_verified);
    // The Session can be refreshed without a browser.
    let status = raised.status.as_ref().unwrap();
    assert_eq!(status.required_authenticator_ref, None);
    let client = world.of_client(&raised).await;
    let again = authenticate(ctx, &client, &begun.state, &response, &caller).await;
    assert_eq!(reason(again), "used_already");
    // The key can be used on many machines, so it is bound to no Device.
    let all = client.authenticators(ctx, ctx.now()).await.unwrap();
    assert!(all.iter().all(|one| {
        let status = one.message.status.as_ref().unwrap();
        status.device_ref.is_none()
    }));
}

#[tokio::test]
async fn w32_the_page_answers_only_requests_of_clients() {
    let world = World::new(passkeys()).await;
    let alice = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&alice, &mut key).await.unwrap();
    let ctx = &world.ctx;
    let of_browser = begin_authentication(ctx, &alice, None).await.unwrap();
    let of_login = begin_login(ctx).unwrap();
    for state in [&of_browser.state, &of_login.state, "", "AAAA"] {
        let asked = for_client(ctx, state).await.map(|_| ());
        assert_eq!(reason(asked), "webauthn_refused", "{state}");
    }
    let client = world.client_of(&alice).await;
    let begun = begin_authentication(ctx, &client, None).await.unwrap();
    world.clock.advance(LIFETIME);
    let late = for_client(ctx, &begun.state).await.map(|_| ());
    assert_eq!(reason(late), "webauthn_expired");
}
