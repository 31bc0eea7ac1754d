-- read.lua - what wrk sends: reads of keys by popularity, of keys nobody read yet, or writes.
-- Settings come in the environment: MODE (hot, cold, write, batch), KEYS, HOT, SERVICES, TOKEN, SEED.
local env = os.getenv
local mode, keys, hot, services = env("MODE"), tonumber(env("KEYS")), tonumber(env("HOT")), tonumber(env("SERVICES"))
local token = env("TOKEN")
local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("id", threads)
end

-- The n-th key: neighbours in popularity lie in different services.
local function path(n)
    return string.format("/api/v1/config/service-%03d/prod/key.%07d", n % services, n)
end

-- Popularity follows Zipf's law with exponent 1 over the hot keys.
local function draw_zipf(count)
    local sums, total, drawn = {}, 0, {}
    for i = 1, hot do
        total = total + 1 / i
        sums[i] = total
    end
    for i = 1, count do
        local wanted, low, high = math.random() * total, 1, hot
        while low < high do
            local middle = math.floor((low + high) / 2)
            if sums[middle] < wanted then low = middle + 1 else high = middle end
        end
        drawn[i] = low - 1
    end
    return drawn
end

local requests, sequence, at, next_cold = {}, {}, 0, 0

function init()
    wrk.headers["Authorization"] = "Bearer " .. token
    math.randomseed(tonumber(env("SEED")) * 100 + id)
    if mode == "hot" then
        sequence = draw_zipf(500000)
        for n = 0, hot - 1 do requests[n] = wrk.format("GET", path(n)) end
    else
        wrk.headers["Content-Type"] = "application/json"
        -- Every thread of every run has keys of its own: what one has read is no miss for another.
        next_cold = (tonumber(env("SEED")) % 8 * 2 + id) * math.floor((keys - hot) / 16)
    end
end

local function cold()
    next_cold = next_cold + 1
    return hot + next_cold % (keys - hot)
end

function request()
    at = at + 1
    if mode == "hot" then
        return requests[sequence[at % #sequence + 1]]
    elseif mode == "cold" then
        return wrk.format("GET", path(cold()))
    elseif mode == "write" then
        return wrk.format("PUT", path(cold()), nil, '{"config_value":"written ' .. at .. '"}')
    end
    local names, first = {}, math.random(1, hot - 101)
    local service = first % services
    for i = 1, 100 do names[i] = string.format('"key.%07d"', first + i * services - services) end
    local body = string.format('{"service_name":"service-%03d","environment":"prod","config_keys":[%s]}', service, table.concat(names, ","))
    return wrk.format("POST", "/api/v1/config/batch", nil, body)
end

function done(summary, latency)
    local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("RESULT %.1f %.1f %.1f %.1f %d\n", summary.requests / summary.duration * 1e6, latency:percentile(50), latency:percentile(99), latency.max, bad))
end
