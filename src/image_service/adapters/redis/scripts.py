"""Lua scripts, which run inside Redis without interruption.

The state of a user is one hash, so that Redis can evict it only as a whole:

    token        replaced by every write; a fill holds while the one it was given is current
    pages_from   before this moment the indexes may lag behind the last write
    w:<write>    a write in progress, and the moment it is given up for dead

Times are milliseconds of Redis' own clock, one for all tasks. Keys of pages are found in
the user's set and not passed in, which a cluster would not allow.
"""

from __future__ import annotations

from typing import Final

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: entry, state. ARGV: a fresh token, 'page' or 'image', fence, life of the state.
# Returns {entry or nil, token to fill with or nil}.
READ: Final = (
    _NOW
    + """
local fresh, kind, fence, life = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local entry = redis.call('GET', KEYS[1])
local state = redis.call('HGETALL', KEYS[2])
local token, pages_from, writing = false, 0, false
for i = 1, #state, 2 do
  local name, value = state[i], state[i + 1]
  if name == 'token' then
    token = value
  elseif name == 'pages_from' then
    pages_from = tonumber(value)
  elseif tonumber(value) > now then
    writing = true
  end
end
if kind == 'page' and entry and not (token and string.sub(entry, 1, #token) == token) then
  entry = false
end
if not token then
  -- Never seen, or evicted: a write may have happened a moment ago for all that is known.
  -- Where Redis is full and refuses this, nothing is filled.
  pages_from = now + fence
  local made = redis.pcall('HSET', KEYS[2], 'token', fresh, 'pages_from', pages_from)
  if type(made) == 'table' and made.err then
    return {entry, false}
  end
  redis.call('PEXPIRE', KEYS[2], life)
  token = fresh
end
if writing or (kind == 'page' and now < pages_from) then
  return {entry, false}
end
return {entry, token}
"""
)

# KEYS: entry, state, page set. ARGV: token, value, life of the entry, 'page' or 'image',
# most pages, life of the state. Returns 1 if the entry was put.
FILL: Final = """
local token, value, life, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', KEYS[2], 'token') ~= token then
  return 0
end
redis.call('SET', KEYS[1], value, 'PX', life)
if kind == 'page' then
  redis.call('SADD', KEYS[3], KEYS[1])
  redis.call('PEXPIRE', KEYS[3], life)
  while redis.call('SCARD', KEYS[3]) > tonumber(ARGV[5]) do
    redis.call('DEL', redis.call('SPOP', KEYS[3]))
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 1
"""

# KEYS: image, state, page set. ARGV: a fresh token, the write, its lease (0: it is over),
# fence, life of the state.
INVALIDATE: Final = (
    _NOW
    + """
local fresh, write, lease = ARGV[1], 'w:' .. ARGV[2], tonumber(ARGV[3])
-- First what is always allowed: a Redis that is full refuses a script's first write if it
-- takes memory, and no later ones.
redis.call('DEL', KEYS[1], KEYS[3], unpack(redis.call('SMEMBERS', KEYS[3])))
local state = redis.call('HGETALL', KEYS[2])
for i = 1, #state, 2 do
  local is_write = string.sub(state[i], 1, 2) == 'w:'
  if is_write and (state[i] == write or tonumber(state[i + 1]) <= now) then
    redis.call('HDEL', KEYS[2], state[i])
  end
end
local changes = {'token', fresh, 'pages_from', now + tonumber(ARGV[4])}
if lease > 0 then
  changes[5], changes[6] = write, now + lease
end
redis.call('HSET', KEYS[2], unpack(changes))
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
"""
)

# KEYS: counters, the one that decides first. ARGV: for each its limit and its milliseconds;
# last, how many to count.
# Returns {count, milliseconds left} for each; what the one before refuses isn't counted.
COUNT: Final = """
local answer = {}
for i, key in ipairs(KEYS) do
  local limit, life = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local count = redis.call('INCRBY', key, ARGV[#ARGV])
  local left = redis.call('PTTL', key)
  if left < 0 then
    redis.call('PEXPIRE', key, life)
    left = life
  end
  answer[i] = {count, left}
  if count > limit then
    break
  end
end
return answer
"""

# What a call of them goes by in metrics.
NAMES: Final = {READ: "read", FILL: "fill", INVALIDATE: "invalidate", COUNT: "count"}
