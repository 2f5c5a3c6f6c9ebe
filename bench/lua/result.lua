-- What a run saw, as one JSON line.

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      'RESULT {"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p90_ms":%.4f,"p99_ms":%.4f,'
      .. '"bad_status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
      latency:percentile(99) / 1e3, errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
