-- A listed client is refused at RCPT, not earlier.
function check(what, wrong) if wrong then error(what) end end

conn = mt.connect(socket)
check("connect", conn == nil)
check("negotiated SKIP", mt.test_option(conn, SMFIP_SKIP))
check("conninfo", mt.conninfo(conn, "listed.example.net", "2001:db8::7") ~= nil)
check("conninfo reply", mt.getreply(conn) ~= SMFIR_CONTINUE)
mt.helo(conn, "listed.example.net")
check("mail", mt.mailfrom(conn, "<a@example.net>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("rcpt", mt.rcptto(conn, "<b@example.org>") ~= nil or mt.getreply(conn) ~= SMFIR_REPLYCODE)
mt.disconnect(conn)
