//! The rights that Doorward needs of its Redis user.

/// The user's least rights, as `ACL SETUSER` takes them after a name and a password. Everything but
/// the commands of scripts and reads is named with its subcommand; `info`, `config|get` only serve
/// what a start reports. With sentinels, their users need `sentinel|master`, besides.
pub const RULES: &str = "resetkeys resetchannels ~doorward:* &doorward:* -@all \
    +evalsha +script|load +role +select +info +config|get +cluster|slots +wait +subscribe \
    +hget +hmget +hset +hdel +hgetall +zadd +zrem +zrangebylex +xadd +xrange +xtrim +exists +time +publish \
    +get +set +del +expire +persist";

/// Says which commands a user may not run.
pub(super) fn lacking(username: Option<&str>, denied: &[String]) -> String {
    let user = username.unwrap_or("default");
    let denied = denied.join("`, `");
    format!(
        "the Redis user `{user}` may not run `{denied}` on `doorward:*`; give it the rights that it needs with \
         `ACL SETUSER {user} {RULES}`"
    )
}
