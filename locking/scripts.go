package locking

import "github.com/redis/go-redis/v9"

// In each script, KEYS[1] is the lock and KEYS[2] the done entry. Other programs may have written any value there,
// and no value may make a script fail.

// get returns the text under a key, false if there is none. The second result reports a value that isn't text, which
// this package never writes.
const get = `
local function get(key)
	local value = redis.pcall('GET', key)
	if type(value) ~= 'table' then
		return value, false
	end
	if string.find(value.err, 'WRONGTYPE', 1, true) then
		return false, true
	end
	return redis.call('GET', key), false
end
`

// acquire takes the new lock's value, its TTL in milliseconds, the holder's ID, and the longest that a lock may last.
// An acquire that is sent twice finds the holder ID that it has set itself.
var acquire = redis.NewScript(get + `
local done, foreign = get(KEYS[2])
if done then
	return {'done', done}
end
if foreign then
	redis.call('DEL', KEYS[2])
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
	return {'acquired'}
end
local value = get(KEYS[1])
if not value then
	redis.call('PSETEX', KEYS[1], ARGV[2], ARGV[1])
	return {'acquired'}
end
local ours, entry = pcall(cjson.decode, value)
if ours and type(entry) == 'table' and entry.holder == ARGV[3] then
	redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
	return {'acquired'}
end
local left, most = redis.call('PTTL', KEYS[1]), tonumber(ARGV[4])
if left < 0 or left > most then
	redis.call('PEXPIRE', KEYS[1], most)
	left = most
end
return {'held', value, left}
`)

var holder = redis.NewScript(get + `
local value, foreign = get(KEYS[1])
if not value and not foreign then
	return false
end
return {value or '', redis.call('PTTL', KEYS[1])}
`)

// breakLock takes the holder's ID and worker, both empty for a value that this package didn't write.
var breakLock = redis.NewScript(get + `
local value, foreign = get(KEYS[1])
local ours, entry = pcall(cjson.decode, value or '')
local id, worker = '', ''
if ours and type(entry) == 'table' then
	id, worker = entry.holder or '', entry.worker or ''
end
if (value or foreign) and id == ARGV[1] and worker == ARGV[2] then
	return redis.call('DEL', KEYS[1])
end
return 0
`)

// extend takes the lock's value and the new TTL in milliseconds.
var extend = redis.NewScript(get + `
if get(KEYS[1]) ~= ARGV[1] then
	return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

// release takes the lock's value.
var release = redis.NewScript(get + `
if get(KEYS[1]) ~= ARGV[1] then
	return 0
end
return redis.call('DEL', KEYS[1])
`)

// finish takes the lock's value, the done entry's and its TTL in milliseconds. It frees the lock first: a Redis that
// is out of memory refuses a script whose first write isn't a deletion.
var finish = redis.NewScript(get + `
local held = 0
if get(KEYS[1]) == ARGV[1] then
	held = redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return held
`)

// forget takes the done entry's value.
var forget = redis.NewScript(get + `
if get(KEYS[2]) ~= ARGV[1] then
	return 0
end
return redis.call('DEL', KEYS[2])
`)

// drop takes nothing: it deletes the done entry, whatever its value.
var drop = redis.NewScript(`return redis.call('DEL', KEYS[2])`)
