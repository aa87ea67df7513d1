-- What wrk sends and reports: `wrk -s tests/bench/browser.lua URL`.
-- With the Host that wrk adds itself, these are the 15 headers of Chrome's navigation to a page. There is no
-- request() or response() here: either would have wrk run Lua for every request and measure that.

wrk.headers["Connection"] = "keep-alive"
wrk.headers["sec-ch-ua"] = '"Google Chrome";v="141", "Not?A_Brand";v="8", "Chromium";v="141"'
wrk.headers["sec-ch-ua-mobile"] = "?0"
wrk.headers["sec-ch-ua-platform"] = '"Linux"'
wrk.headers["Upgrade-Insecure-Requests"] = "1"
wrk.headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
wrk.headers["Sec-Fetch-Site"] = "same-origin"
wrk.headers["Sec-Fetch-Mode"] = "navigate"
wrk.headers["Sec-Fetch-User"] = "?1"
wrk.headers["Sec-Fetch-Dest"] = "document"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
wrk.headers["Accept-Language"] = "en-GB,en;q=0.9,de;q=0.8"
wrk.headers["Cookie"] = "session=5f2b9c1e7a60483d9e1c4b7a8d2f6e03"

-- One line for the program that runs us; times are in microseconds.
function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p99": %d, '
         .. '"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status
   ))
end
