package locking

import "github.com/redis/go-redis/v9"

// In each script, KEYS[1] is the lock and KEYS[2] the done entry.

// acquire takes the new lock's value, its TTL in milliseconds and the holder's ID. What it finds under the lock's key
// may be anything, so reading it must not fail. A resent acquire finds the holder ID that it set itself.
var acquire = redis.NewScript(`
local done = redis.pcall('GET', KEYS[2])
if type(done) == 'table' then
	done = ''
end
if done then
	return {'done', done}
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
	return {'acquired'}
end
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then
	value = ''
end
local ours, entry = pcall(cjson.decode, value)
if ours and type(entry) == 'table' and entry.holder == ARGV[3] then
	redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
	return {'acquired'}
end
return {'held', value, redis.call('PTTL', KEYS[1])}
`)

var holder = redis.NewScript(`
local pttl = redis.call('PTTL', KEYS[1])
if pttl == -2 then
	return false
end
local value = redis.pcall('GET', KEYS[1])
if type(value) ~= 'string' then
	value = ''
end
return {value, pttl}
`)

// extend takes the lock's value and the new TTL in milliseconds.
var extend = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
	return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// release takes the lock's value.
var release = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
	return 0
end
return redis.call('DEL', KEYS[1])
`)

// finish takes the lock's value, the done entry's and its TTL in milliseconds. It frees first: a Redis that is out of
// memory refuses a script's first write, unless that is a deletion.
var finish = redis.NewScript(`
local held = 0
if redis.call('GET', KEYS[1]) == ARGV[1] then
	held = redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return held
`)

// forget takes the done entry's value.
var forget = redis.NewScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
	return 0
end
return redis.call('DEL', KEYS[2])
`)
