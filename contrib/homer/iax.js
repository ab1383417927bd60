// A script for Homer (Preferences, Scripts; its name there: iax). `data` has the messages of a call, those of SIP as well.
data.forEach(function (row) {
  var header = row.protocol_header;
  if (header.payloadType !== 10) {
    return;
  }
  // What a frame is, NEW 600, stands on its arrow in the ladder, where else "Generic" would.
  row.data_header.method = row.raw.split("\n")[0];
  // What Homer finds under this name it takes for reports of quality, and shows it a second time.
  if (row.sid === header.correlation_id) {
    row.sid = "IAX2 " + row.sid;
  }
});
data;
