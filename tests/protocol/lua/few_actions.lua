-- An MTA that lets us only add header fields gets ours.
function check(what, wrong) if wrong then error(what) end end

conn = mt.connect(socket)
check("negotiate", mt.negotiate(conn, 6, SMFIP_SKIP, 1) ~= nil) -- miltertest 1.5 takes steps before actions: ADDHDRS alone
check("conninfo", mt.conninfo(conn, "clean.example.net", "192.0.2.9") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("helo", mt.helo(conn, "clean.example.net") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("mail", mt.mailfrom(conn, "<>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("rcpt", mt.rcptto(conn, "<b@example.org>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
mt.header(conn, "X-Spam-Flag", "YES")
check("header reply", mt.getreply(conn) ~= SMFIR_CONTINUE)
check("eoh", mt.eoh(conn) ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("body", mt.bodystring(conn, "Hello\r\n") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("eom", mt.eom(conn) ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("no trace", not mt.eom_check(conn, MT_HDRINSERT, "X-Earmark"))
check("changed something", mt.eom_check(conn, MT_HDRDELETE))
mt.disconnect(conn)
