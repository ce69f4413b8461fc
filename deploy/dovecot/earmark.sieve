# Files what earmark marked into Junk, which is made where it is missing. It is safe to believe the field: earmark removes
# every X-Spam field that comes from outside before it adds its own. Under a default_action of accept (deploy/postfix) that
# does not hold while earmark is down.
require ["fileinto", "mailbox"];

if header :is "X-Spam-Flag" "YES" {
  fileinto :create "Junk";
  stop;
}
