# Files into Junk, which is made where it is missing, what earmark marked and what it re-addressed to user+junk@
# (`mixed_marks = "detail"`).
#
# X-Spam-Flag alone is not believed: mail that never passed earmark may bring the flag of another site's filter. X-Earmark
# beside it says that earmark saw the message, and with that all such fields from outside were removed before it wrote its
# own. What remains, and what closes it, is in docs/spam-folder.md.
require ["envelope", "fileinto", "mailbox", "subaddress"];

if anyof (
  allof (header :is "X-Spam-Flag" "YES", header :matches "X-Earmark" "v=1; id=*"),
  envelope :detail :is "to" "junk"
) {
  fileinto :create "Junk";
  stop;
}
